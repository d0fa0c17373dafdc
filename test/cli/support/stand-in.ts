import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Owner } from '../../support/temporary-directory.ts'
import { listenUntilEnd } from '../../support/loopback-server.ts'

/** Polls `holds` until it is true. */
export async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${String(holds)}`)
    await delay(10)
  }
}

export type Answering = (request: IncomingMessage, response: ServerResponse) => void

/** A server that is no node, until the test ends. Its address. */
export async function listen(owner: Owner, answer: Answering): Promise<string> {
  const server = createServer((request, response) => {
    // What is told of data says which node tells it.
    response.setHeader('quorate-served-by', '1')
    answer(request, response)
  })
  return await listenUntilEnd(owner, server)
}

/** Answers as a node does that refuses. */
export function problem(response: ServerResponse, status: number, code: string): void {
  const document = { status, title: 'No', detail: 'not here', code, retryable: true, ambiguous: false }
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(document))
}
