// What differs between two texts, by lines: the shortest edit by Myers' algorithm, with a limit to its work.

const MOST_EDITS = 600;

/** Rows of [left, right]: equal lines in both, null where one side has none. */
export function diffLines(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const rows = left.slice(0, start).map((line) => ({ left: line, right: line, same: true }));
  rows.push(...pair(edits(left.slice(start, left.length - end), right.slice(start, right.length - end))));
  rows.push(...left.slice(left.length - end).map((line) => ({ left: line, right: line, same: true })));
  return rows;
}

/** [["=" | "-" | "+", line], …] */
function edits(left, right) {
  const most = Math.min(left.length + right.length, MOST_EDITS);
  const trace = [];
  let ends = new Map([[1, 0]]);
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(ends));
    for (let k = -d; k <= d; k += 2) {
      let x =
        k === -d || (k !== d && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1))
          ? ends.get(k + 1)
          : ends.get(k - 1) + 1;
      let y = x - k;
      while (x < left.length && y < right.length && left[x] === right[y]) {
        x += 1;
        y += 1;
      }
      ends.set(k, x);
      if (x >= left.length && y >= right.length) return path(trace, left, right);
    }
  }
  return [...left.map((line) => ["-", line]), ...right.map((line) => ["+", line])]; // too different to line up
}

function path(trace, left, right) {
  const found = [];
  let [x, y] = [left.length, right.length];
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const ends = trace[d];
    const k = x - y;
    const before = k === -d || (k !== d && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1)) ? k + 1 : k - 1;
    const beforeX = d ? ends.get(before) : 0;
    const beforeY = d ? beforeX - before : 0;
    while (x > beforeX && y > beforeY) found.push(["=", left[((x -= 1), (y -= 1), x)]]);
    if (!d) break;
    if (x > beforeX) found.push(["-", left[(x -= 1)]]);
    else found.push(["+", right[(y -= 1)]]);
  }
  return found.reverse();
}

/** Removed and added lines that stand together go side by side. */
function pair(found) {
  const rows = [];
  let [gone, added] = [[], []];
  const flush = () => {
    for (let n = 0; n < Math.max(gone.length, added.length); n += 1)
      rows.push({ left: gone[n] ?? null, right: added[n] ?? null, same: false });
    [gone, added] = [[], []];
  };
  for (const [kind, line] of found) {
    if (kind === "-") gone.push(line);
    else if (kind === "+") added.push(line);
    else {
      flush();
      rows.push({ left: line, right: line, same: true });
    }
  }
  flush();
  return rows;
}
