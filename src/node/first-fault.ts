import { toError } from '../lib/to-error.ts'
import type { Faults } from './options.ts'

/** The fault that ended the node. Only the first is told to the program around it: the others follow from it. */
export class FirstFault implements Faults {
  private readonly onFault: (error: Error) => void
  private first: Error | null = null

  constructor(onFault: (error: Error) => void) {
    this.onFault = onFault
  }

  /** Null while nothing is broken. */
  get error(): Error | null {
    return this.first
  }

  report(error: unknown): void {
    if (this.first !== null) return
    this.first = toError(error)
    this.onFault(this.first)
  }
}
