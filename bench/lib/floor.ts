import { endChild, forkChild } from './children.ts'
import { freePort } from './cluster.ts'

export interface Floor {
  readonly host: string
  readonly pid: number | undefined
  stop(): Promise<void>
}

/** Starts `floor-process.ts`: what the HTTP front costs at least. */
export async function startFloor(): Promise<Floor> {
  const port = await freePort()
  const child = forkChild('floor-process.js', [String(port)])
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', (code) => reject(new Error(`the floor ended with ${code}`)))
  })
  return { host: `127.0.0.1:${port}`, pid: child.pid, stop: () => endChild(child) }
}
