// A list of any length of which only the rows in sight are elements. A listbox: arrow keys move, Enter opens.

import { h, newId } from "./dom.js";

const SPARE_ROWS = 6;

export class VirtualList {
  #items = [];
  #key;
  #make;
  #onopen;
  #rows = [];
  #active = null; // the key of the option that the keyboard is at
  #chosen = null; // the key of the one that is open
  #wanted = null; // the key of one that has yet to be brought into sight
  #first = -1;
  #height = 0;
  #rowHeight = 0;
  #asked = false;

  /** make(): {element, fill(item)}; the row's height is the CSS variable --row of the element. */
  constructor({ label, key, make, onopen }) {
    this.#key = key;
    this.#make = make;
    this.#onopen = onopen;
    this.space = h("div.vlist-space", { role: "presentation" });
    this.element = h("div.vlist", { role: "listbox", tabindex: 0, "aria-label": label }, this.space);
    this.element.addEventListener("scroll", () => this.#ask(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.#keydown(event));
    this.element.addEventListener("click", (event) => this.#click(event));
    this.element.addEventListener("focus", () => this.#ask());
    this.observer = new ResizeObserver(() => {
      this.#rowHeight = 0;
      this.#ask();
    });
    this.observer.observe(this.element);
  }

  end() {
    this.observer.disconnect();
  }

  get atTop() {
    return this.element.scrollTop < 4;
  }

  /** New items, newest first. What the reader looks at stays where it is, unless that is the very top. */
  show(items) {
    const height = this.#measure();
    const top = this.element.scrollTop;
    const anchor = top >= 4 && height ? this.#items[Math.floor(top / height)] : undefined;
    this.#items = items;
    this.space.style.height = `${items.length * height}px`;
    if (anchor !== undefined) {
      const before = Math.floor(top / height);
      const after = this.#indexOf(this.#key(anchor));
      if (after >= 0 && after !== before) this.element.scrollTop = top + (after - before) * height;
    }
    this.#first = -1;
    this.#draw();
  }

  choose(key) {
    this.#chosen = this.#wanted = key;
    if (key !== null) this.#active = key;
    this.#first = -1;
    this.#ask();
  }

  scrollToTop() {
    this.element.scrollTop = 0;
  }

  #indexOf(key) {
    return key === null ? -1 : this.#items.findIndex((item) => this.#key(item) === key);
  }

  #measure() {
    if (!this.#rowHeight) {
      this.#rowHeight = parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 36;
      this.#height = this.element.clientHeight;
    }
    return this.#rowHeight;
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const height = this.#measure();
    this.space.style.height = `${this.#items.length * height}px`;
    this.#bringWanted(height);
    const first = Math.max(0, Math.floor(this.element.scrollTop / height) - SPARE_ROWS);
    const many = Math.min(this.#items.length - first, Math.ceil(this.#height / height) + 2 * SPARE_ROWS);
    const active = this.#indexOf(this.#active);
    for (let n = 0; n < Math.max(many, this.#rows.length); n += 1) {
      const item = n < many ? this.#items[first + n] : undefined;
      if (item === undefined) {
        this.#rows[n].element.hidden = true;
        continue;
      }
      const row = (this.#rows[n] ??= this.#add());
      this.#place(row, item, first + n, height, active);
    }
    this.#first = first;
    const shown = active >= first && active < first + many ? this.#rows[active - first].element.id : null;
    if (shown) this.element.setAttribute("aria-activedescendant", shown);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** What was opened by its address, or from elsewhere, may be far down. */
  #bringWanted(height) {
    const index = this.#height ? this.#indexOf(this.#wanted) : -1;
    if (index < 0) return;
    this.#wanted = null;
    const top = index * height - this.element.scrollTop;
    if (top < 0 || top + height > this.#height)
      this.element.scrollTop = Math.max(0, index * height - (this.#height - height) / 2);
  }

  #add() {
    const row = this.#make();
    row.element.id = newId("row");
    row.element.setAttribute("role", "option");
    row.element.classList.add("vlist-row");
    this.space.append(row.element);
    return row;
  }

  #place(row, item, index, height, active) {
    const { element } = row;
    if (element.hidden) element.hidden = false;
    if (row.index !== index || row.height !== height) {
      row.index = index;
      row.height = height;
      element.style.transform = `translateY(${index * height}px)`;
      element.setAttribute("aria-posinset", index + 1);
    }
    if (row.total !== this.#items.length) {
      row.total = this.#items.length;
      element.setAttribute("aria-setsize", row.total);
    }
    const key = this.#key(item);
    const chosen = String(key === this.#chosen);
    if (row.chosen !== chosen) element.setAttribute("aria-selected", (row.chosen = chosen));
    const isActive = index === active;
    if (row.active !== isActive) element.classList.toggle("active", (row.active = isActive));
    row.key = key;
    row.fill(item);
  }

  #click(event) {
    const element = event.target.closest(".vlist-row");
    const row = this.#rows.find((candidate) => candidate.element === element);
    if (row) this.#open(row.key);
  }

  #open(key) {
    this.#active = key;
    this.#ask();
    const item = this.#items[this.#indexOf(key)];
    if (item !== undefined) this.#onopen?.(item);
  }

  #keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#height / this.#measure()) - 1);
    const at = this.#indexOf(this.#active);
    const last = this.#items.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last }[
      event.key
    ];
    if (to !== undefined) {
      event.preventDefault();
      this.#move(Math.min(last, Math.max(0, to)));
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      event.preventDefault();
      this.#open(this.#active);
    }
  }

  #move(index) {
    if (!this.#items.length) return;
    this.#active = this.#key(this.#items[index]);
    const height = this.#measure();
    const top = index * height;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + height > this.element.scrollTop + this.#height) this.element.scrollTop = top + height - this.#height;
    this.#draw();
  }
}
