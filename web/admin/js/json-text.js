// JSON as it was written: numbers stay text (JavaScript would round them), doubled names and their order are kept.

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * {list: bool, entries: [[key, value]]} for objects and lists, {kind: "string"|"number"|"word", text} for all else; a
 * key is the name's text, or the place in a list. Null where it is no JSON. No recursion: it may be nested very deeply.
 */
export function readJson(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const top = { list: true, entries: [] };
  const open = [top];
  let name = null;
  for (const [token] of text.matchAll(TOKENS)) {
    const inside = open.at(-1);
    if (token === "}" || token === "]") open.pop();
    else if (token === ":" || token === ",") continue;
    else if (!inside.list && name === null) name = readable(token);
    else {
      const value = token === "{" || token === "[" ? { list: token === "[", entries: [] } : leaf(token);
      inside.entries.push([inside.list ? inside.entries.length : name, value]);
      name = null;
      if (value.entries) open.push(value);
    }
  }
  return top.entries[0][1];
}

function leaf(token) {
  if (token.startsWith('"')) return { kind: "string", text: readable(token) };
  return { kind: /^[-\d]/.test(token) ? "number" : "word", text: token };
}

/** A string without needless escapes. */
const readable = (token) => JSON.stringify(JSON.parse(token));
