import t from 'tap'
import type { Command } from '../../src/kv/index.ts'
import { HistoryCheck } from './oracles/history.ts'
import { committedAs, OPTIONS, RAISE } from './oracles/samples.ts'

/** The entries of a leader that ends leases are numbered from here on. */
const OF_LEADERS = 2 ** 47

t.test('no leader ends a lease before its length has passed on its own clock, also where clocks jump', (t) => {
  const log: Command[] = [
    RAISE,
    { type: 'lease-grant', id: 2, ttlMs: 1_000, idempotency: null },
    { type: 'lease-renew', id: 2, idempotency: null },
    { type: 'lease-revoke', id: 2, ifRenewedAt: 2, token: 0, idempotency: null },
  ]
  const fault = (waitedMs: number | null, isByLeader = true): string | null => {
    const ledger = committedAs((index) => (isByLeader && index === 3 ? OF_LEADERS : index), log)
    const asked: number[][] = []
    const leaderWaited = (...between: [number, number]): number | null => {
      asked.push(between)
      return waitedMs
    }
    const times = { writtenAt: () => 0, committedAt: () => 0, leaderWaited }
    const check = new HistoryCheck(OPTIONS, ledger, times)
    try {
      check.checkLeases([], { clocksHold: false, calm: null, promptMs: 0 })
      t.equal(check.figures.leasesMeasured, isByLeader && waitedMs !== null ? 1 : 0)
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    } finally {
      t.same(asked, isByLeader ? [[2, 3]] : [], 'from the renewal on')
    }
  }
  t.equal(fault(1_000), null)
  t.match(fault(999), /lasted for 999 ms by the clock of the leader that has ended it, not 1000/)
  t.equal(fault(null), null, 'nobody has seen who has made the entry')
  t.equal(fault(0, false), null, 'somebody has ended it')
  t.end()
})
