const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
const LIST = 0x5b
const OBJECT = 0x7b

/** Texts up to this length are parsed without a look at them: whatever they hold is little. */
const SHORT = 4096

/**
 * Whether a JSON text certainly holds more than `most` values, nested ones included. `JSON.parse` makes all of them at once, which for a large
 * text of very small values takes long and much more memory than the text. Texts that are not JSON may give either answer.
 *
 * Each list or object is a value, and so is what follows each comma. What the two together say is exact enough: no text is called too large that
 * is not, and none that passes has more than twice as many.
 */
export function exceedsValues(text: string, most: number): boolean {
  if (text.length <= SHORT) return false
  let commas = 0
  let opened = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === COMMA) commas += 1
    else if (code === LIST || code === OBJECT) opened += 1
    else continue
    if (commas >= most || opened > most) return true
  }
  return false
}

/** Where the closing quote of the string stands that begins at `start`; the end of the text when there is none. */
export function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end < 0 ? text.length : end
}

function isEscaped(text: string, at: number): boolean {
  let before = at
  while (text.charCodeAt(before - 1) === BACKSLASH) before -= 1
  return (at - before) % 2 === 1
}
