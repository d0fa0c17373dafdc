import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { asBeforeStart } from '../core-dump.ts'
import { toError } from '../lib/to-error.ts'
import { runtimeVariables } from '../runtime-variables.ts'
import { printable } from './table.ts'
import { Witness } from './witness.ts'

/** What would end this process, or open its debugger. */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

/** As a shell answers for a command that it cannot start. */
const notStarted = 127

/**
 * Runs a command as if it stood in the place of this process, with the variables of `own` in its environment besides, and waits for its end, whatever
 * comes. Resolves with its exit code. `stop`: it is told to end when this aborts. `complain` is told what goes wrong.
 */
export async function runInPlace(
  command: readonly string[],
  own: Readonly<Record<string, string>>,
  stop: AbortSignal,
  complain: (text: string) => void,
): Promise<number> {
  const [file = ''] = command
  try {
    const child = asBeforeStart(() => begin(command, own))
    return await ended(child, stop, complain)
  } catch (error) {
    complain(`${printable(file)} did not start: ${printable(toError(error).message)}`)
    return notStarted
  }
}

function begin([file = '', ...words]: readonly string[], own: Readonly<Record<string, string>>): ChildProcess {
  return spawn(file, words, { stdio: 'inherit', env: { ...environmentBefore(), ...own } })
}

/** Without what this program sets for itself alone. */
function environmentBefore(): NodeJS.ProcessEnv {
  const settings: Readonly<Record<string, string>> = runtimeVariables
  return Object.fromEntries(Object.entries(process.env).filter(([name, text]) => settings[name] !== text))
}

/** Rejects when the command did not start. */
async function ended(child: ChildProcess, stop: AbortSignal, complain: (text: string) => void): Promise<number> {
  const exited = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
  const send = (signal: NodeJS.Signals): void => {
    const onRefused = ({ message }: Error): void =>
      complain(`${signal} could not be passed on to the command (${message}); it runs on, and is waited for`)
    child.once('error', onRefused)
    child.kill(signal)
    child.off('error', onRefused)
  }
  const onStop = (): void => send('SIGTERM')
  const stopPassing = passSignals(send)
  try {
    await once(child, 'spawn')
    stop.addEventListener('abort', onStop)
    if (stop.aborted) onStop()
    return await exited
  } finally {
    stop.removeEventListener('abort', onStop)
    stopPassing()
  }
}

/** The command is told of what would end this process. This one stays. */
function passSignals(send: (signal: NodeJS.Signals) => void): () => void {
  const witness = new Witness(passedOn)
  // What was sent to the whole group has come to the command as well, and a second signal would mean something else.
  const pass = (signal: NodeJS.Signals): void =>
    void witness.isForThisAlone(signal).then((isForThisAlone) => {
      if (isForThisAlone) send(signal)
    })
  for (const signal of passedOn) process.on(signal, pass)
  return () => {
    for (const signal of passedOn) process.off(signal, pass)
    witness.end()
  }
}
