import { spawn } from 'node:child_process'
import { limits } from '../limits.ts'

/**
 * Kills the process whose id is its argument after a delay, unless the pipe at its standard input closes first. In that case
 * the process has ended, and its id may belong to another one.
 */
const KILLER = `
  const timer = setTimeout(() => {
    process.kill(Number(process.argv[1]), 'SIGKILL')
    process.exit()
  }, Number(process.argv[2]))
  process.stdin.on('close', () => clearTimeout(timer)).on('error', () => undefined).resume()
`

/**
 * Ends the process with `code` even when a thread hangs. `process.exit` joins the threads of libuv's pool, and a thread in a
 * disk call may never return. In that case another process kills this one after `graceMs`, and the exit status is that of
 * SIGKILL.
 */
export function leaveForSure(code: number, graceMs: number = limits.leaveMsMax): never {
  const killer = spawn(process.execPath, ['-e', KILLER, String(process.pid), String(graceMs)], {
    // This process holds the other end of the pipe, which closes when the process ends.
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: {},
  })
  killer.on('error', () => undefined)
  process.exit(code)
}
