import t from 'tap'
import { denialError, type Command, type CommandResult } from '../../src/kv/index.ts'
import type { Answer, ClientCommand } from '../../src/checker/operation.ts'
import type { Operation } from './history/operation.ts'
import type { WatchSession } from './history/watch-session.ts'
import { HistoryCheck } from './oracles/history.ts'
import { A, committed, heard, operation, OPTIONS, PLENTY, put, wrote } from './oracles/samples.ts'

t.test(
  'a client is given what its token may have, and a refusal says what is missing as the documents have it',
  (t) => {
    const NOW = { idempotency: null } as const
    const hash = (digit: string): string => digit.repeat(64)
    const role = { name: 'r', grants: [{ access: 'read', keys: { type: 'key', key: A } }], rights: [] } as const
    const unlimited = { expiresAt: null, requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
    const created = { name: 'b', roles: ['r'], ...unlimited, hash: hash('b') }
    const bootstrap = { type: 'auth-bootstrap', name: 'root', hash: hash('a'), ...NOW } as const
    const revocation = { type: 'token-delete', id: 3, ...NOW } as const
    const ledger = committed(
      { type: 'raise-level', level: 1, version: '1.0.0', retention: PLENTY, ...NOW },
      bootstrap,
      { type: 'role-put', role, token: 1, ...NOW },
      { type: 'token-create', created, token: 1, ...NOW },
      { ...revocation, token: 1 },
      { ...put('late'), token: 3 } as Command,
    )
    const times = {
      writtenAt: (index: number) => index * 10,
      committedAt: (index: number) => index * 10,
      leaderWaited: () => null,
    }
    const changed = (
      command: ClientCommand,
      result: CommandResult,
      invokedAt: number,
      returnedAt: number,
    ): Operation => ({
      ...operation(0, { type: 'write', command }, heard(wrote(result))),
      invokedAt,
      returnedAt,
      secret: hash('a'),
    })
    // The entry at 1, the first token, is committed at 10 and answered at 12; the one at 4, a revocation, at 40 and at 45.
    const changes = [
      changed(bootstrap, { type: 'auth-begun', id: 1 }, 5, 12),
      changed({ type: 'token-create', created, ...NOW }, { type: 'token-created', id: 3 }, 25, 30.5),
      changed(revocation, { type: 'token-deleted' }, 35, 45),
    ]
    const check = (history: readonly Operation[], sessions: readonly WatchSession[] = []): string | null => {
      try {
        const checked = new HistoryCheck(OPTIONS, ledger, times)
        checked.checkRights([...changes, ...history], sessions, { clusterId: 'c1', calm: { from: 0, to: 100 } })
        return null
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    const READ = { type: 'get', key: A, consistency: 'linearizable', minRevision: null } as const
    const nothing = { type: 'get', record: null, revision: 0, given: 'linearizable' } as const
    const asked = (request: Operation['request'], answer: Answer, from: number, to: number): Operation => ({
      ...operation(1, request, { ...heard(answer), span: { from, to } }),
      secret: hash('b'),
    })
    t.equal(check([asked(READ, nothing, 31, 50)]), null, 'the revocation was not answered when it came')
    t.match(check([asked(READ, nothing, 46, 50)]), /its token may not do that/)
    t.match(check([asked(READ, { ...nothing, revision: 5 }, 31, 60)]), /its token may not/, 'shown what is behind it')
    const stale = { ...nothing, given: 'stale' } as const
    t.equal(check([asked({ ...READ, consistency: 'stale' }, stale, 46, 50)]), null)
    t.match(check([asked(READ, nothing, 15, 29)]), /may not/, 'a token that was not made yet')
    t.equal(check([{ ...asked(READ, nothing, 1, 9), secret: null }]), null, 'before the first token')

    const denied = (code: string, message: string, from: number, to: number): Operation => ({
      ...operation(1, { type: 'write', command: put('x') }),
      secret: hash('b'),
      denials: [{ clusterId: 'c1', span: { from, to }, code, message }],
    })
    const missing = denialError({ type: 'forbidden', missing: { access: 'write', key: A } }).message
    const nobody = denialError({ type: 'unauthenticated' }).message
    t.equal(check([denied('forbidden', missing, 31, 35)]), null)
    t.match(
      check([denied('forbidden', `${missing}, which is there`, 31, 35)]),
      /no roles and tokens until then explain/,
    )
    t.match(check([denied('unauthenticated', nobody, 31, 35)]), /no roles and tokens until then explain/)
    t.equal(check([denied('unauthenticated', nobody, 46, 50)]), null)

    const session = (revision: number): WatchSession => ({
      watcher: 1,
      machine: 'n1',
      interest: { keys: A, puts: true, deletes: true, wantsPrevious: false },
      since: null,
      sinceCluster: null,
      invokedAt: 31,
      secret: hash('b'),
      beganAt: 35,
      endedAt: Infinity,
      clusterId: 'c1',
      began: 3,
      items: [{ type: 'progress', revision }],
      end: null,
      isDue: false,
    })
    t.equal(check([], [session(4)]), null)
    t.match(check([], [session(5)]), /is told of 5, though its token may not watch that from 4 on/)
    t.match(check([], [{ ...session(3), beganAt: 50, invokedAt: 46 }]), /has begun, though/)
    t.match(
      check([{ ...operation(1, { type: 'write', command: put('late') }), secret: hash('a') }]),
      /is in the log at 5 under the token 3, which its client has not sent/,
    )
    t.end()
  },
)
