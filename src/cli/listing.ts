import { limits } from '../limits.ts'
import { tableShape } from './table.ts'
import type { Terminal } from './terminal.ts'

/**
 * Prints the texts in pieces, and reads no further while a piece is not taken: the memory does not grow with the listing. What was printed stays
 * when `texts` fails.
 */
export async function printListing(
  terminal: Pick<Terminal, 'printPiece'>,
  texts: AsyncIterable<string> | Iterable<string>,
): Promise<void> {
  let waiting: string[] = []
  let length = 0
  const flush = async (): Promise<void> => {
    const piece = Buffer.from(waiting.join(''))
    waiting = []
    length = 0
    if (piece.length > 0) await terminal.printPiece(piece)
  }
  try {
    for await (const text of texts) {
      waiting.push(text)
      length += text.length
      if (length >= limits.clientPieceBytes) await flush()
    }
  } finally {
    await flush()
  }
}

/** Each item as a line of JSON. */
export async function* jsonLines(items: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const item of items) yield `${JSON.stringify(item)}\n`
}

/**
 * The lines of a table, as `formatTable` gives them. Columns are as wide as the first rows need, one page of them; a later row that is wider takes
 * the room that it needs. `headsAlone`: the headings are given for a table without rows too.
 */
export async function* tableLines(
  heads: readonly string[],
  rows: AsyncIterable<readonly string[]>,
  headsAlone: boolean,
): AsyncGenerator<string> {
  const first: (readonly string[])[] = []
  let line = null as ReturnType<typeof tableShape> | null
  const begin = (): string[] => {
    const all = [heads, ...first]
    line = tableShape(all)
    return all.map(line)
  }
  for await (const row of rows) {
    if (line !== null) {
      yield line(row)
      continue
    }
    first.push(row)
    if (first.length === limits.listItemsMax) yield* begin()
  }
  if (line === null && (headsAlone || first.length > 0)) yield* begin()
}
