import { decode } from 'fast-png'

/** Letters alone have more than these, for their edges are smooth. */
const COLOURS_MIN = 16

/** Whether next to nothing is on a picture: it has a few colours at most. */
export function isBlank(png: Uint8Array): boolean {
  const { data, channels } = decode(png)
  const colours = new Set<string>()
  for (let at = 0; at < data.length && colours.size < COLOURS_MIN; at += channels)
    colours.add(data.slice(at, at + channels).join())
  return colours.size < COLOURS_MIN
}
