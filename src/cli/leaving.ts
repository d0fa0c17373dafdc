import { spawn } from 'node:child_process'
import { limits } from '../limits.ts'

/**
 * Kills the process named by its argument after a while, unless the pipe that is the standard input closes before: then that process
 * has ended, and its id may belong to another one.
 */
const KILLER = `
  const timer = setTimeout(() => {
    process.kill(Number(process.argv[1]), 'SIGKILL')
    process.exit()
  }, Number(process.argv[2]))
  process.stdin.on('close', () => clearTimeout(timer)).on('error', () => undefined).resume()
`

/**
 * Ends the process with `code`, whatever hangs. `process.exit` joins the threads of libuv's pool, and one that is in a call to the disk
 * may never come back: then another process kills this one after `graceMs`, and its status is that of SIGKILL.
 */
export function leaveForSure(code: number, graceMs: number = limits.leaveMsMax): never {
  const killer = spawn(process.execPath, ['-e', KILLER, String(process.pid), String(graceMs)], {
    // The other end of the pipe closes with this process, at the latest.
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: {},
  })
  killer.on('error', () => undefined)
  process.exit(code)
}
