import t from 'tap'
import type { Command, Key } from '../../src/kv/index.ts'
import type { ImportEnd, ImportSession } from './history/import-session.ts'
import { HistoryCheck } from './oracles/history.ts'
import { committed, OPTIONS, RAISE } from './oracles/samples.ts'

/** A change of an import, with records as `key=value`. */
function change(name: string | null, ...records: string[]): Command {
  const idempotency = name === null ? null : { key: name, fingerprint: 1 }
  const success = records.map((record) => {
    const [key = '', value = ''] = record.split('=')
    return { type: 'put', key: key as Key, value: Buffer.from(value), wantsPrevious: false } as const
  })
  return { type: 'transaction', compares: [], success, failure: [], idempotency }
}

t.test(
  'an import is in the log as the changes that its records make, each whole and once, and a node tells no more',
  (t) => {
    const given = (records: readonly string[], name: string | null, ends: readonly ImportEnd[]): ImportSession => ({
      client: 1,
      name,
      records: records.map((record) => {
        const [key = '', value = ''] = record.split('=')
        return { key: key as Key, value: Buffer.from(value), isLeased: false }
      }),
      told: ends.map((end) => ({ clusterId: 'c1', end })),
    })
    const fault = (commands: readonly Command[], ...sessions: ImportSession[]): string | null => {
      try {
        new HistoryCheck(OPTIONS, committed(RAISE, ...commands)).checkImports(sessions, 'c1')
        return null
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    const RECORDS = ['a=1', 'b=2', 'a=3', 'c=4']
    const [first, second] = [change('i', 'a=1', 'b=2'), change('i 256', 'a=3', 'c=4')]
    const done = { type: 'done', imported: 4, revision: 2, leasesDropped: 0 } as const
    const ended = { type: 'ended', code: 'no-leader', imported: 2, line: 3, nextLine: 3, revision: 1 } as const
    const of = (...ends: ImportEnd[]): ImportSession => given(RECORDS, 'i', ends)
    t.equal(fault([first, second], of(done)), null)
    t.equal(fault([first, first, second, second], of(ended, { ...done, revision: 3 })), null, 'a retry puts nothing')
    t.equal(fault([first], of(ended)), null)
    t.equal(fault([], of({ ...ended, imported: 0, line: 2, nextLine: 1, revision: null })), null)
    const part = /has a change at 1 with no more than the records/
    t.match(fault([change('i', 'a=1')], of()), part, 'a change in part')
    t.match(fault([change(null, 'a=1', 'b=2', 'c=4')], of()), /records that do not follow each other/)
    t.match(fault([change(null, 'a=1', 'b=2', 'x=x')], of()), /together with what is not of it/)
    t.match(fault([first, change('j', 'a=1', 'b=2')], of()), /puts record 1 twice, at 1 and at 2/)
    t.match(fault([second, first], of()), /puts record 1 at 2, after a later one of the same key/)
    t.match(fault([first], of(done)), /and record 3 is not in the log/)
    t.match(fault([first, second], of({ ...done, imported: 3 })), /and has 4 records/)
    t.match(fault([first, second], of({ ...done, imported: 5 })), /and has 4 records/)
    t.match(fault([first, second], of({ ...done, revision: 1 })), /and its changes are at 1, 2/)
    t.match(fault([first, second], of({ ...done, revision: 3 })), /and its changes are at 1, 2/)
    t.match(fault([first, second], of({ ...done, leasesDropped: 1 })), /and 0 records name a lease/)
    t.match(fault([first], of({ ...ended, nextLine: 4 })), /does not lead on from what is in/)
    t.match(fault([first], of({ ...ended, line: 2 })), /does not lead on from what is in/)
    t.match(fault([first], of({ ...ended, revision: null })), /without a revision/)
    t.equal(
      fault([first], { ...of(), told: [{ clusterId: 'c2', end: done }] }),
      null,
      'another cluster answers for itself',
    )

    const large = `a=${'x'.repeat(990)}`
    const [whole, left, right] = [change(null, 'a=1', 'b=2', 'c=3'), change(null, 'a=1', 'b=2'), change(null, 'c=3')]
    const halved = given(['a=1', 'b=2', 'c=3'], null, [])
    t.equal(fault([change(null, large, 'd=4'), whole, left, right], halved), null, 'halves of what is too large')
    t.match(fault([left, right], halved), part, 'halves of what was not tried')
    t.match(fault([whole, left], halved), /has a change at 2 with/, 'halves of what is not too large')
    t.end()
  },
)
