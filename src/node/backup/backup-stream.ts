import type { StateView } from '../../ports/state-store.ts'
import { stateChunks } from '../snapshots/state-stream.ts'
import { BlockWriter, type BackupHeader } from './format.ts'

/** The state in `view`, whose meta is `meta`, as a backup, piece by piece. The caller closes the view. */
export async function* backupPieces(
  header: BackupHeader,
  view: StateView,
  meta: Uint8Array,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  const writer = new BlockWriter()
  const described = Buffer.from(JSON.stringify(header))
  yield Buffer.concat([writer.prefix(), writer.head('header', described), described])
  for await (const { kind, chunk } of stateChunks(view, meta, chunkBytes)) {
    yield Buffer.concat([writer.head(kind, chunk), chunk])
  }
  yield writer.end()
}
