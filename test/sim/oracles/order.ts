import type { Command, Key } from '../../../src/kv/index.ts'
import { callsOn, keyModel } from '../../../src/checker/key-model.ts'
import { jointCalls, jointModel, type JointCall } from '../../../src/checker/joint-model.ts'
import { checkLinearizable, type Call, type Model } from '../../../src/checker/linearizability.ts'
import { describeOperation, type Operation as Recorded } from '../../../src/checker/operation.ts'
import type { Operation } from '../history/operation.ts'
import { Violation } from '../world/violation.ts'
import { BelievedOrder } from './believed-order.ts'
import type { TimesOfLog } from './entry-times.ts'
import type { ExecutedLog } from './executed-log.ts'
import type { HistoryFigures } from './figures.ts'
import { hinted, likenessOf } from './hinted-model.ts'
import { LeaseEnds } from './lease-ends.ts'

/** Searches an order of the operations that explains what clients were told: for each key, and for all keys together. */
export class OrderCheck {
  private readonly stepsMax: number
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  private readonly figures: HistoryFigures

  constructor(
    { stepsMax }: { readonly stepsMax: number },
    log: ExecutedLog,
    times: TimesOfLog,
    figures: HistoryFigures,
  ) {
    this.stepsMax = stepsMax
    this.log = log
    this.times = times
    this.figures = figures
  }

  /** `isLinearizable`: whether an answered read was promised to be in the order. */
  check(history: readonly Operation[], isLinearizable: (operation: Operation) => boolean): void {
    // A write that is sent again has no effect of its own, unless its name was forgotten.
    const once = history.filter(({ repeats }) => repeats !== true)
    const believed = new BelievedOrder(this.log, this.times, once)
    const leaseEnds = new LeaseEnds(this.log, this.times)
    const told = once.filter((operation) => operation.request.type === 'write' || isLinearizable(operation))
    const usable: readonly Recorded[] = [...told, ...believed.again.keys()]
    const keys = [
      ...new Set(usable.flatMap(({ request }) => (request.type === 'get' ? [request.key] : keyOfWrite(request)))),
    ]
    this.figures.executedAgain += believed.again.size
    const answerOf = believed.answerOf.bind(believed)
    const likely = hinted(keyModel, answerOf, likenessOf)
    for (const key of keys) {
      const calls = callsOn(key, usable, (operation) => believed.positionOn(key, operation))
      const isDecided = this.mustBeOrdered([...calls, ...leaseEnds.callsOn(key)], likely, `on ${key}`)
      this.figures[isDecided ? 'keysChecked' : 'keysUndecided'] += 1
    }
    if (!usable.some(({ request }) => request.type === 'write' && keysJoinedBy(request.command) > 1)) return
    const calls = jointCalls(keys, usable, (operation) => believed.positionOf(operation))
    const ends = keys.flatMap((key) => leaseEnds.callsOn(key))
    const isDecided = this.mustBeOrdered(
      [...calls, ...ends],
      hinted(jointModel(keys), answerOf, (states) => states.map(likenessOf).join('/')),
      `on ${keys.join(', ')} together`,
    )
    this.figures[isDecided ? 'joinedChecked' : 'joinedUndecided'] += 1
  }

  /** Whether the search came to an end. Throws when it found that no order explains the calls. */
  private mustBeOrdered<State, Input extends JointCall>(
    calls: readonly Call<Input>[],
    model: Model<State, Input>,
    where: string,
  ): boolean {
    const verdict = checkLinearizable(calls, model, this.stepsMax)
    if (verdict.kind !== 'violation') return verdict.kind === 'linearizable'
    const stuck = calls[verdict.stuck]?.input.operation
    const last = verdict.longest.slice(-8).flatMap((position) => {
      const operation = calls[position]?.input.operation
      return operation === undefined ? [] : [describeOperation(operation)]
    })
    throw new Violation(
      'linearizability',
      `no order of the ${calls.length} operations ${where} explains what clients saw; the longest ends with\n  ${last.join('\n  ')}\n` +
        `and then fits no ${stuck === undefined ? '?' : describeOperation(stuck)}`,
    )
  }
}

/** How many keys a transaction compares, reads or writes by name. */
function keysJoinedBy(command: Command): number {
  if (command.type !== 'transaction') return 0
  const { compares, success, failure } = command
  const operations = [...success, ...failure].flatMap((one) => ('key' in one ? [one.key] : []))
  return new Set([...compares.map(({ key }) => key), ...operations]).size
}

function keyOfWrite(request: Recorded['request']): Key[] {
  if (request.type !== 'write') return []
  const { command } = request
  if (command.type === 'transaction')
    return [...command.success, ...command.failure].flatMap((one) => ('key' in one ? [one.key] : []))
  return 'key' in command ? [command.key] : []
}
