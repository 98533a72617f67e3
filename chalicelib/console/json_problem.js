// Finds the first error in JSON input. The messages of JSON.parse differ between browsers and are not translated.

const JSON_TOKEN =
  /[ \t\n\r]*(?:([{}[\]:,])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|((?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![^\s{}[\]:,]))|("[^\n]{0,20}|[^\s{}[\]:,"]+|[^ \t\n\r]|$))/y;
const MAX_WORDS = 24;

/** Yield {kind, at, words, name}: the kind is a punctuation character, "string", "literal", "invalid" or "end". */
function* tokensOf(source) {
  JSON_TOKEN.lastIndex = 0;
  let kind = "";
  while (kind !== "end") {
    const [all, sign, string, literal, rest] = JSON_TOKEN.exec(source);
    const words = sign ?? string ?? literal ?? rest;
    kind = sign ?? (string ? "string" : literal ? "literal" : rest ? "invalid" : "end");
    yield { kind, words: words.slice(0, MAX_WORDS), name: string, at: JSON_TOKEN.lastIndex - words.length, all };
  }
}

const CLOSING = { "{": "}", "[": "]" };

/**
 * Return {key, words, line, at} of the first error in the text of a JSON object, or null if there is no error.
 *
 * `key` is the key of the message in texts.js. `words` is the part of the source that contains the error, or the missing bracket.
 * `at` is the position of the error.
 */
export function findJsonProblem(source) {
  const open = [];
  let expected = "object";
  let previous = "";
  for (const token of tokensOf(source)) {
    const { kind } = token;
    const top = open.at(-1);
    const key = problemOf(token, expected, previous, top);
    if (key) {
      const words = key === "jsonUnclosed" ? top.closing : token.words;
      return { key, words, at: token.at, line: source.slice(0, token.at).split("\n").length };
    }
    if (CLOSING[kind]) {
      open.push({ closing: CLOSING[kind], names: new Set() });
      expected = kind === "{" ? "firstName" : "firstValue";
    } else if (kind === top?.closing) {
      open.pop();
      expected = open.length ? "comma" : "end";
    } else if (kind === ":" || kind === ",") {
      expected = kind === "," && top.closing === "}" ? "name" : "value";
    } else if (expected.endsWith("ame")) {
      top.names.add(JSON.parse(token.name));
      expected = "colon";
    } else {
      expected = "comma";
    }
    previous = kind;
  }
  return null;
}

/** Return the key of the message if the token is not allowed here, or "". */
function problemOf({ kind, words, name }, expected, previous, top) {
  const isEnd = kind === top?.closing;
  const isValue = kind in CLOSING || kind === "string" || kind === "literal";
  if (kind === "invalid" && words.startsWith('"')) {
    return "jsonString";
  }
  if (kind === "end" && top) {
    return "jsonUnclosed";
  }
  if (isEnd && previous === ",") {
    return "jsonExtraComma";
  }
  if (expected === "name" || expected === "firstName") {
    const isRepeated = kind === "string" && top.names.has(JSON.parse(name));
    return isRepeated ? "jsonRepeated" : kind === "string" || (isEnd && expected === "firstName") ? "" : "jsonName";
  }
  const isRight = {
    object: kind === "{",
    value: isValue,
    firstValue: isValue || isEnd,
    colon: kind === ":",
    comma: kind === "," || isEnd,
    end: kind === "end",
  }[expected];
  const keys = { object: "jsonObject", colon: "jsonColon", comma: /[\]}]/.test(kind) ? "jsonUnclosed" : "jsonComma", end: "jsonMore" };
  return isRight ? "" : (keys[expected] ?? "jsonValue");
}
