import { request, type Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import { limits } from '../limits.ts'
import { toError } from '../lib/to-error.ts'
import { ConnectionError, type IncomingAnswer } from './exchange.ts'

export interface StreamRequest {
  readonly method: 'GET' | 'POST'
  /** Includes the query, percent-encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Read only once a server takes the connection. */
  readonly body: AsyncIterable<Uint8Array> | null
  /** The connection is given up after the server has been silent for this long. */
  readonly silenceMsMax: number
}

/**
 * Sends a request whose body or answer may have any length to the first of `origins` that takes the connection. Rejects with
 * `ConnectionError`.
 */
export async function openStream(
  origins: readonly URL[],
  agent: Agent,
  outgoing: StreamRequest,
): Promise<IncomingMessage> {
  let refusal = new ConnectionError('no server was named', { refused: true, ambiguous: false })
  for (const origin of origins) {
    try {
      return await openAt(origin, agent, outgoing)
    } catch (error) {
      if (!(error instanceof ConnectionError && error.refused)) throw error
      refusal = error
    }
  }
  throw refusal
}

async function openAt(origin: URL, agent: Agent, outgoing: StreamRequest): Promise<IncomingMessage> {
  const { method, path, headers, body, silenceMsMax: timeout } = outgoing
  return await new Promise((resolve, reject) => {
    let connected = false
    let answer: IncomingMessage | null = null
    const outbound = request(origin, { method, path, headers, agent, timeout })
    const begin = (): void => {
      connected = true
      if (body === null) return void outbound.end()
      sendBody().catch((error: unknown) => {
        // The source failed, not the server.
        reject(toError(error))
        outbound.destroy()
      })
    }
    const sendBody = async (): Promise<void> => {
      if (body === null) return
      for await (const piece of body) {
        if (outbound.destroyed || answer !== null) return
        if (!outbound.write(piece)) await taken(outbound)
      }
      outbound.end()
    }
    outbound.on('response', (inbound) => {
      answer = inbound
      // After an answer that came early, nobody takes the rest of the body.
      inbound.once('end', () => {
        if (!outbound.writableEnded) outbound.destroy()
      })
      resolve(inbound)
    })
    outbound.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', begin)
      else begin()
    })
    outbound.on('timeout', () => outbound.destroy(new Error(`the server was silent for ${timeout} ms`)))
    outbound.on('error', (error) => {
      const outcome = { refused: !connected, ambiguous: connected && body !== null }
      reject(new ConnectionError(`${origin.origin}: ${error.message}`, outcome, { cause: error }))
    })
  })
}

/** Resolves when the connection takes more, or is of no more use. */
async function taken(outbound: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const events = ['drain', 'response', 'close'] as const
    const settle = (): void => {
      for (const event of events) outbound.off(event, settle)
      resolve()
    }
    for (const event of events) outbound.on(event, settle)
  })
}

/** The pieces of an answer. Rejects with `ConnectionError` when it is cut off. */
export async function* piecesOf(answer: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const piece of answer) yield piece as Buffer
  } catch (error) {
    const outcome = { refused: false, ambiguous: false }
    throw new ConnectionError(`the answer was cut off (${toError(error).message})`, outcome, { cause: error })
  }
}

/** A short answer as a whole. */
export async function wholeOf(answer: IncomingMessage): Promise<IncomingAnswer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of piecesOf(answer)) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > limits.clientAnswerBytesMax) {
      const reason = `the answer is larger than ${limits.clientAnswerBytesMax} bytes`
      throw new ConnectionError(reason, { refused: false, ambiguous: false })
    }
  }
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces) }
}
