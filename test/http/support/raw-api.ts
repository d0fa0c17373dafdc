import type { Key } from '../../../src/kv/index.ts'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../../support/checked-api.ts'
import { answerIn, listen, RawConnection, type RawAnswer } from '../../support/raw-client.ts'

interface Test {
  readonly teardown: (close: () => unknown) => void
}

export interface Served extends CheckedApi {
  readonly port: number
  readonly connection: () => RawConnection
  /** Sends bytes and reads until the other side closes. */
  readonly exchange: (bytes: string | Uint8Array) => Promise<RawAnswer>
}

/** The API behind a port of its own, for clients that write bytes. */
export async function serve(t: Test, options: CheckedApiOptions = {}): Promise<Served> {
  const api = await openCheckedApi(t, options)
  const port = await listen(api.app)
  const connection = (): RawConnection => {
    const opened = new RawConnection(port)
    t.teardown(() => opened.destroy())
    return opened
  }
  const exchange = async (bytes: string | Uint8Array): Promise<RawAnswer> => {
    const opened = connection()
    opened.send(bytes)
    return answerIn(await opened.untilClosed())
  }
  return { ...api, port, connection, exchange }
}

/** A request without its body. */
export const head = (line: string, ...headers: string[]): string => [line, ...headers, '', ''].join('\r\n')
export const last = 'Connection: close'
export const host = 'Host: node'

export function problemIn(answer: RawAnswer): { readonly code: string; readonly status: number } {
  return JSON.parse(answer.body)
}

/** Plants `count` records with values of `bytes` bytes. */
export function fill(api: CheckedApi, count: number, bytes: number): void {
  const value = Buffer.alloc(bytes, 'x')
  for (let at = 0; at < count; at++) {
    const key = `item/${at}` as Key
    api.services.keys.store.plant(key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  }
}

/** A stream of everything. */
export const exportRequest = head('GET /kv HTTP/1.1', host, 'Accept: application/x-ndjson', last)
