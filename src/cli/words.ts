import { isUtf8 } from 'node:buffer'
import { UsageError } from './terminal.ts'

/** The character that Node puts in the place of bytes that are not UTF-8. It may also have been typed. */
const replaced = '\ufffd'

/**
 * Throws `UsageError` when an argument was no UTF-8: what Node has made of it names another key, or is another value. `raw`: the command line as the
 * system has it, with a zero behind each word; null: this system does not show it.
 */
export function checkWords(words: readonly string[], raw: () => Uint8Array | null): void {
  const suspects = words.flatMap((word, at) => (word.includes(replaced) ? [at] : []))
  if (suspects.length === 0) return
  const given = raw()
  const bytes = given === null ? null : wordsIn(given).slice(-words.length)
  const wrong = suspects.find((at) => {
    const word = bytes?.[at]
    return word === undefined || !isUtf8(word)
  })
  if (wrong === undefined) return
  const what =
    bytes === null ? 'holds U+FFFD, which may stand for bytes that are not UTF-8' : 'holds bytes that are not UTF-8'
  throw new UsageError(
    `argument ${wrong + 1} ${what}, so nothing was done: give a value by --file or by the standard input; keys are UTF-8`,
  )
}

function wordsIn(raw: Uint8Array): Uint8Array[] {
  const words: Uint8Array[] = []
  for (let from = 0; from < raw.length;) {
    const end = raw.indexOf(0, from)
    const to = end === -1 ? raw.length : end
    words.push(raw.subarray(from, to))
    from = to + 1
  }
  return words
}
