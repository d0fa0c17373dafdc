import type { RowRange } from '../../kv/index.ts'
import { rowBytes } from '../../kv/index.ts'
import type { StateRow, StateView } from '../../ports/state-store.ts'

export interface PageSize {
  readonly limit: number
  readonly bytesMax: number
}

/** The rows of a range in their order, page by page. No page is empty. */
export async function* rowPages(
  view: StateView,
  { start, end }: RowRange,
  page: PageSize,
): AsyncGenerator<readonly StateRow[], void, undefined> {
  const bounds = { end: end === null ? null : rowBytes(end), reverse: false, ...page }
  for (let from: Uint8Array = rowBytes(start); ;) {
    const rows = await view.scan({ start: from, ...bounds })
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    from = Buffer.concat([last.key, Buffer.from([0])])
  }
}
