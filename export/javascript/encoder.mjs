// Turns texts into what the graph of an ONNX export takes, as tf_textrnn/predictor/encoder.py does.
// No Node, no package: a page in a browser can import it. docs/onnx.md shows how.

const MAX_TEXT_BYTES = 1 << 20; // a longer text is cut here
const UNKNOWN_ID = 1;
const SHORTEST_STEM = 4; // characters
const LONGEST_ENDING = 5; // characters
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

// A class of characters, to stand within brackets: ranges of [first code point, after the last].
function ranges(bounds) {
  const escaped = bounds.map((bound, i) => `\\u{${(bound - (i % 2)).toString(16)}}`);
  return escaped.map((code, i) => (i % 2 ? `-${code}` : code)).join("");
}

// Returns a function: string -> tokens.
function tokenizer(tables) {
  const [spaces, alone, letters, binders, marks, cased, ignorable] = [
    "spaces", "alone", "letters", "binders", "marks", "cased", "ignorable",
  ].map((name) => ranges(tables[name] ?? []));
  if (tables.name === "char") {
    const space = new RegExp(`[${spaces}]+`, "gu");
    return (text) => [...text.replace(space, " ").replace(/^ | $/g, "")];
  }
  const token = new RegExp(
    `[${alone}]|[${letters}](?:[${binders}][${letters}]|[${marks}])*|[^${spaces}${alone}${letters}]+`,
    "gu",
  );
  const lastSigma = new RegExp(`([${cased}][${ignorable}]*)Σ(?![${ignorable}]*[${cased}])`, "gu");
  const lower = new Map(Object.entries(tables.lower.others));
  for (const [first, end, step, added] of tables.lower.runs)
    for (let code = first; code < end; code += step)
      lower.set(String.fromCodePoint(code), String.fromCodePoint(code + added));
  return (text) => {
    const lowered = Array.from(text.replace(lastSigma, "$1ς"), (c) => lower.get(c) ?? c).join("");
    return lowered.match(token) ?? [];
  };
}

// Args: settings, what model.json holds; vocabulary, the bytes of vocabulary.txt; ngrams, those of
// ngrams.bin where there is one. Returns a function: texts, each a string or its UTF-8, -> the
// inputs of the graph, by name, each as {data: Int32Array, dims: [texts, width]}.
export function makeEncoder(settings, vocabulary, ngrams) {
  const split = tokenizer(settings.tokenizer);
  const tokens = utf8.decode(vocabulary).replace(/\n$/, "").split("\n");
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const ofStems = settings.stem_unknown_words && idsOfStems(tokens);
  const unknown = (token) =>
    (ofStems && ofStems.get(stems(token).find((stem) => ofStems.has(stem)))) || UNKNOWN_ID;
  const keys = ngrams && readKeys(ngrams);
  return (texts) => {
    const rows = texts.map((text) => {
      const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
      const found = split(utf8.decode(bytes.subarray(0, MAX_TEXT_BYTES)));
      return found.slice(0, settings.max_len).map((token) => ids.get(token) ?? unknown(token));
    });
    const inputs = { token_ids: padded(rows, 0) };
    inputs.lengths = { data: Int32Array.from(rows, (row) => row.length), dims: [rows.length] };
    if (keys) inputs.ngram_rows = padded(rows.map((row) => knownNgrams(row, keys, settings)), keys.size);
    return inputs;
  };
}

// The stems of a word, the longest first: two thirds of its characters at least, none with a digit.
function stems(word) {
  if (/[0-9]/.test(word)) return [];
  const characters = Array.from(word);
  const size = characters.length;
  const shortest = Math.max(SHORTEST_STEM, Math.ceil((2 * size) / 3), size - LONGEST_ENDING);
  const found = [];
  for (let end = size; end >= shortest; end--) found.push(characters.slice(0, end).join(""));
  return found;
}

// Which known word stands for all that share a stem: the shortest, and of those the first.
function idsOfStems(tokens) {
  const found = new Map();
  const sizes = tokens.map((token) => Array.from(token).length);
  tokens.forEach((token, id) => {
    for (const stem of id > UNKNOWN_ID ? stems(token) : [])
      if (!found.has(stem) || sizes[id] < sizes[found.get(stem)]) found.set(stem, id);
  });
  return found;
}

// The place of each key in ngrams.bin, which has the difference of each from the one before: seven
// bits a byte, the lowest first; the top bit says that more follow.
function readKeys(bytes) {
  const places = new Map();
  let [key, shift] = [0n, 0n];
  for (const byte of bytes) {
    key += BigInt(byte & 127) << shift;
    shift = byte < 128 ? 0n : shift + 7n;
    if (byte < 128) places.set(key, places.size);
  }
  return places;
}

// The key of the ids a, b, c is (a * vocab_size + b) * vocab_size + c: more than a double holds.
function knownNgrams(row, keys, settings) {
  const found = new Set();
  const size = BigInt(settings.vocab_size);
  row.forEach((_, first) => {
    let key = 0n;
    for (const id of row.slice(first, first + settings.ngrams)) {
      key = key * size + BigInt(id);
      if (keys.has(key)) found.add(keys.get(key));
    }
  });
  return [...found].sort((a, b) => a - b);
}

// Rows of one width, which is at least 1: the graph wants a step.
function padded(rows, value) {
  const width = rows.reduce((most, row) => Math.max(most, row.length), 1);
  const data = new Int32Array(rows.length * width).fill(value);
  rows.forEach((row, i) => data.set(row, i * width));
  return { data, dims: [rows.length, width] };
}
