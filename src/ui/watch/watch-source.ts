import { openStream } from '../api/stream.ts'
import type { WatchEvent, WatchSource } from './watch-feed.ts'

/** Watches of the node of this page. */
export const nodeWatches: WatchSource = {
  async open(target, since, signal) {
    return await openStream<WatchEvent>({ path: '/watch', query: { ...target, since }, signal })
  },
}
