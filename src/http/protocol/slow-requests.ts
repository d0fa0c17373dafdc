import type { SlowLog } from '../../lib/slow-log.ts'
import type { Stage } from '../../lib/stages.ts'
import { traceFacts } from '../../lib/trace-context.ts'
import type { AllowedMethods } from './allowed-methods.ts'
import { pathOf } from './path.ts'
import type { CourseJudge, Timed } from './request-course.ts'

export interface SlowRequestsDependencies {
  readonly log: SlowLog
  readonly routes: AllowedMethods
  /** The clock of the node: its steps are measured by the same one. */
  readonly now: () => number
}

/**
 * Tells of requests that took long, and where their time went. A line has the route of a request and never its path or query, because keys
 * may be secret.
 */
export class SlowRequests implements CourseJudge {
  readonly thresholdMs: number
  readonly now: () => number
  /** How many requests were slow, by the stage that took most of their time. */
  readonly counts = new Map<Stage, number>()
  private readonly deps: SlowRequestsDependencies

  constructor(deps: SlowRequestsDependencies) {
    this.deps = deps
    this.thresholdMs = deps.log.thresholdMs
    this.now = deps.now
  }

  judge({ request, response, status, index, sums }: Timed): void {
    const { method = '', url = '', socket } = request
    const { log, routes } = this.deps
    const route = routes.routeOf(method, pathOf(url))
    if (sums.countedMs < this.thresholdMs || route?.operation?.isPatient === true) return
    this.counts.set(sums.longest, (this.counts.get(sums.longest) ?? 0) + 1)
    const facts = {
      method,
      route: route?.pattern ?? 'none',
      status,
      ...(index === null ? {} : { index }),
      remote: socket.remoteAddress,
      ...traceFacts(response.span),
    }
    log.tell(status === null ? 'slow step of a request' : 'slow request', facts, sums)
  }
}
