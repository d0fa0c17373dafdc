import { linesIn } from './lines.ts'

/** One event of a stream of server-sent events. */
export interface ServerEvent {
  readonly type: string
  /** The id of this event; null: it has none of its own. */
  readonly id: string | null
  readonly data: string
}

/** The events of a `text/event-stream`. Comments and unknown fields are passed over; an event that was cut off is none. */
export async function* eventsIn(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let type = 'message'
  let id: string | null = null
  let data: string[] = []
  for await (const line of linesIn(pieces)) {
    if (line === '') {
      if (data.length > 0) yield { type, id, data: data.join('\n') }
      type = 'message'
      id = null
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') type = value
    else if (field === 'id') id = value
    else if (field === 'data') data.push(value)
  }
}
