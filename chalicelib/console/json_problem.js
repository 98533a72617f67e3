// Finds the first error in JSON input. The messages of JSON.parse differ between browsers and are not translated.

const JSON_TOKEN =
  /[ \t\n\r]*(?:([{}[\]:,])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|((?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![^\s{}[\]:,]))|("[^\n]{0,20}|[^\s{}[\]:,"]+|[^ \t\n\r]|$))/y;
const MAX_EXCERPT_LENGTH = 24;

/**
 * Yield {kind, at, excerpt, string}: the kind is a punctuation character, "string", "literal", "invalid" or "end".
 *
 * `string` is the complete token if the kind is "string".
 */
function* tokensOf(source) {
  JSON_TOKEN.lastIndex = 0;
  let kind = "";
  while (kind !== "end") {
    const [, punctuation, string, literal, rest] = JSON_TOKEN.exec(source);
    const token = punctuation ?? string ?? literal ?? rest;
    kind = punctuation ?? (string ? "string" : literal ? "literal" : rest ? "invalid" : "end");
    yield { kind, excerpt: token.slice(0, MAX_EXCERPT_LENGTH), string, at: JSON_TOKEN.lastIndex - token.length };
  }
}

const CLOSING = { "{": "}", "[": "]" };

/**
 * Return {key, excerpt, line, at} of the first error in the text of a JSON object, or null if there is no error.
 *
 * `key` is the key of the message in texts.js. `excerpt` is the beginning of the token at which the error was found.
 * For the key "jsonUnclosed", `excerpt` is the missing bracket. `at` is the position of the error.
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
      const excerpt = key === "jsonUnclosed" ? top.closing : token.excerpt;
      return { key, excerpt, at: token.at, line: source.slice(0, token.at).split("\n").length };
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
      top.names.add(JSON.parse(token.string));
      expected = "colon";
    } else {
      expected = "comma";
    }
    previous = kind;
  }
  return null;
}

/** Return the key of the message if the token is not allowed here; otherwise, return "". */
function problemOf({ kind, excerpt, string }, expected, previous, top) {
  const isClosing = kind === top?.closing;
  const isValue = kind in CLOSING || kind === "string" || kind === "literal";
  if (kind === "invalid" && excerpt.startsWith('"')) {
    return "jsonString";
  }
  if (kind === "end" && top) {
    return "jsonUnclosed";
  }
  if (isClosing && previous === ",") {
    return "jsonExtraComma";
  }
  if (expected === "name" || expected === "firstName") {
    const isRepeated = kind === "string" && top.names.has(JSON.parse(string));
    return isRepeated ? "jsonRepeated" : kind === "string" || (isClosing && expected === "firstName") ? "" : "jsonName";
  }
  const isAllowed = {
    object: kind === "{",
    value: isValue,
    firstValue: isValue || isClosing,
    colon: kind === ":",
    comma: kind === "," || isClosing,
    end: kind === "end",
  }[expected];
  const keys = { object: "jsonObject", colon: "jsonColon", comma: /[\]}]/.test(kind) ? "jsonUnclosed" : "jsonComma", end: "jsonMore" };
  return isAllowed ? "" : (keys[expected] ?? "jsonValue");
}
