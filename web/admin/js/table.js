// A table with a search box, sorting, and at most so many rows at a time: the rest is a button away.

import { h, keyed, newId, replace, setText } from "./dom.js";
import { count, plural } from "./format.js";
import { icon } from "./icons.js";
import { button } from "./parts.js";

const PAGE_ROWS = 100;
const MOST_ROWS = 300; // beyond that nobody scrolls: searching is quicker
const ROWS_A_FRAME = 20; // new rows are made in portions, so that no task takes long

/**
 * columns: [{key, label, title?, sort?(item): value, align?: "end", width?, make(): {element, fill(item)}}]
 * The roles are written out, since on a phone rows are laid out as cards, and tables lose theirs by that.
 */
/** "1 client", "2 clients": `what` is the plural. */
export const counted = (many, what) => plural(many, what.slice(0, -1), what);

export class Table {
  #items = [];
  #columns;
  #options;
  #sort;
  #limit = PAGE_ROWS;
  #words = "";
  #made = 0; // rows that are there, of the first #limit

  constructor(columns, options) {
    this.#columns = columns;
    this.#options = options; // {label, key(item), text(item), what, sort: {key, down}, empty(): Node, href?(item)}
    this.#sort = options.sort ?? { key: columns[0].key, down: false };
    this.body = h("tbody", { role: "rowgroup" });
    this.heads = columns.map((column) => this.#head(column));
    this.table = h(
      "table.table",
      { role: "table", "aria-label": options.label },
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          this.heads.map((head) => head.element),
        ),
      ),
      this.body,
    );
    this.search = h("input", {
      type: "search",
      placeholder: options.search ?? "Search",
      "aria-label": `Search ${options.what}`,
      autocomplete: "off",
      spellcheck: "false",
      "data-search": true,
    });
    this.search.addEventListener("input", () => {
      this.#words = this.search.value.trim().toLowerCase();
      this.#limit = PAGE_ROWS;
      this.#again();
    });
    this.tally = h("p.tally", { id: newId("tally") });
    this.foot = h("div.table-foot");
    this.frame = h("div.table-frame", this.table, this.foot);
    this.bar = h("div.toolbar", h("div.search", icon("search"), this.search), this.#sorter(), this.tally);
    this.element = h("div.table-group", this.bar, this.frame);
  }

  #head(column) {
    const element = h("th", { role: "columnheader", scope: "col", class: column.align === "end" ? "end" : null });
    if (column.width) element.style.width = column.width; // the layout is fixed: measuring every cell takes long
    if (!column.sort)
      return { column, element: replace(element, column.unlabelled ? h("span.unseen", column.label) : column.label) };
    const arrow = h("span.arrow", { "aria-hidden": "true" });
    const sort = { type: "button", title: column.title, onclick: () => this.#sortBy(column.key) };
    element.append(h("button.sort", sort, column.label, arrow));
    return { column, element, arrow };
  }

  /** On a phone there are no heads to press. */
  #sorter() {
    const choice = h(
      "select",
      { "aria-label": "Sort by" },
      this.#columns
        .filter((column) => column.sort)
        .flatMap((column) => [
          h("option", { value: `${column.key} up` }, `${column.label} ↑`),
          h("option", { value: `${column.key} down` }, `${column.label} ↓`),
        ]),
    );
    choice.addEventListener("change", () => {
      const [key, direction] = choice.value.split(" ");
      this.#sort = { key, down: direction === "down" };
      this.#again();
    });
    this.sorter = choice;
    return h("div.sorter", choice);
  }

  #sortBy(key) {
    this.#sort = {
      key,
      down: this.#sort.key === key ? !this.#sort.down : Boolean(this.#columns.find((c) => c.key === key).down),
    };
    this.#again();
  }

  /** Other rows come to the top: they are made in portions, too. */
  #again() {
    this.#made = 0;
    this.draw();
  }

  show(items) {
    this.#items = items;
    this.draw();
  }

  draw() {
    const found = this.#words
      ? this.#items.filter((item) => this.#options.text(item).toLowerCase().includes(this.#words))
      : this.#items.slice();
    const column = this.#columns.find((candidate) => candidate.key === this.#sort.key);
    const sign = this.#sort.down ? -1 : 1;
    const worth = new Map(found.map((item) => [item, column.sort(item)]));
    found.sort((left, right) => sign * compare(worth.get(left), worth.get(right)));
    for (const head of this.heads) {
      if (!head.arrow) continue;
      const on = head.column === column;
      head.element.setAttribute("aria-sort", on ? (this.#sort.down ? "descending" : "ascending") : "none");
      setText(head.arrow, on ? (this.#sort.down ? "↓" : "↑") : "");
    }
    this.sorter.value = `${this.#sort.key} ${this.#sort.down ? "down" : "up"}`;
    const wanted = Math.min(found.length, this.#limit);
    const next = Math.min(wanted, Math.max(this.#made, 0) + (this.#made < wanted ? ROWS_A_FRAME : 0));
    keyed(this.body, found.slice(0, next), this.#options.key, () => this.#row());
    this.#made = next;
    if (next < wanted) requestAnimationFrame(() => this.table.isConnected && this.draw());
    this.#summary(found.length);
  }

  #summary(found) {
    const all = this.#items.length;
    const { what } = this.#options;
    setText(this.tally, found === all ? counted(all, what) : `${count(found)} of ${counted(all, what)}`);
    this.table.hidden = found === 0;
    this.bar.hidden = all === 0;
    const more = Math.min(found, MOST_ROWS) - this.#limit;
    const state = found === 0 ? (all ? "none" : "empty") : more > 0 ? `more ${more}` : found > MOST_ROWS ? "most" : "";
    if (this.foot.dataset.state === state) return;
    this.foot.dataset.state = state;
    if (state === "none") replace(this.foot, h("p.none", "Nothing matches. Search for less."));
    else if (state === "empty") replace(this.foot, this.#options.empty());
    else if (state === "most")
      replace(this.foot, h("p.none", `These are the first ${count(MOST_ROWS)}. Search to find others.`));
    else if (state)
      replace(
        this.foot,
        button(`Show ${count(Math.min(PAGE_ROWS, more))} more`, () => {
          this.#limit += PAGE_ROWS;
          this.draw();
        }),
      );
    else replace(this.foot);
  }

  #row() {
    const cells = this.#columns.map((column) => {
      const cell = column.make();
      const element = h(
        "td",
        {
          role: "cell",
          "data-label": column.label,
          class: [column.align, column.class].filter(Boolean).join(" "),
        },
        cell.element,
      );
      return { element, fill: cell.fill };
    });
    const element = h(
      "tr",
      { role: "row" },
      cells.map((cell) => cell.element),
    );
    return {
      element,
      fill(item) {
        for (const cell of cells) cell.fill(item);
      },
    };
  }
}

function compare(left, right) {
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
  return (left ?? -Infinity) - (right ?? -Infinity);
}

/** A cell of plain text: words(item) -> string. */
export const textCell =
  (words, spec = "span") =>
  () => {
    const element = h(spec);
    return { element, fill: (item) => setText(element, words(item)) };
  };
