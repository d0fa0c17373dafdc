import {
  AUTH_ROW,
  AuthTable,
  decodeAuthTable,
  idempotentWriteRow,
  recordRow,
  rowBytes,
  rowFromBytes,
  type AuthResult,
  type Command,
  type KvMachine,
  type Rights,
  type TransactionCommand,
  type Workspace,
} from '../../../src/kv/index.ts'
import { encodeAuthTable } from '../../../src/kv/auth-table.ts'
import type { Authority } from '../../../src/kv/authority.ts'
import { compareHolds } from '../../../src/kv/compare.ts'
import type { NamedWrites } from '../../../src/kv/named-writes.ts'
import type { Records } from '../../../src/kv/records.ts'
import type { Node } from '../../../src/node/node.ts'
import type { StateInstall, StateRow } from '../../../src/ports/state-store.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { StateDelegate } from './delegates.ts'

/** The parts of a machine that nothing outside is to see. */
interface Inside {
  readonly machine: KvMachine
  readonly authority: Authority
  readonly named: NamedWrites
  readonly records: Records
}

/** Calls `change` with the machine of a node, and with each that takes its place. */
function inEachMachine({ replica: { applier } }: Node, change: (inside: Inside) => void): void {
  let machine = Reflect.get(applier, 'machine') as KvMachine
  const enter = (): void =>
    change({
      machine,
      authority: Reflect.get(machine, 'authority') as Authority,
      named: Reflect.get(machine, 'named') as NamedWrites,
      records: Reflect.get(machine, 'records') as Records,
    })
  enter()
  const set = (next: KvMachine): void => {
    machine = next
    enter()
  }
  Object.defineProperty(applier, 'machine', { get: () => machine, set })
}

/** Only the node that takes a request looks at its token. */
function decidesAtFront({ authority }: Inside): void {
  authority.refuse = () => null
}

/** A named write that was executed before is answered, whoever asks. */
function looksAtNamesFirst({ machine, named }: Inside): void {
  type Execute = (command: Command, revision: number, workspace: Workspace) => unknown
  const execute = (Reflect.get(machine, 'executeAllowed') as Execute).bind(machine)
  const changed: Execute = (command, revision, workspace) => {
    const tag = command.idempotency
    const isKnown = tag !== null && workspace.get(idempotentWriteRow(tag.key)) !== null
    if (!isKnown || command.type === 'lease-renew') return execute(command, revision, workspace)
    return named.once(command, tag, workspace, () => {
      throw new Error('it was executed before')
    })
  }
  Reflect.set(machine, 'executeAllowed', changed)
}

/** What a token may do is worked out once. */
function keepsRights({ authority }: Inside): void {
  const known = new Map<number, Rights>()
  const withKnown = (table: AuthTable | null): AuthTable | null => {
    if (table === null) return null
    const rightsOf = table.rightsOf.bind(table)
    table.rightsOf = (token) => {
      const rights = known.get(token.id) ?? rightsOf(token)
      known.set(token.id, rights)
      return rights
    }
    return table
  }
  let present = withKnown(authority.table)
  const set = (next: AuthTable | null): void => {
    present = withKnown(next)
  }
  Object.defineProperty(authority, 'present', { get: () => present, set })
}

/** A transaction needs what the branch needs that is carried out. */
function judgesOneBranch({ authority, records }: Inside): void {
  const refuse = authority.refuse.bind(authority)
  const taken = (command: TransactionCommand, workspace: Workspace): TransactionCommand => {
    const succeeds = command.compares.every((one) => compareHolds(one, records.find(one.key, workspace)))
    return succeeds ? { ...command, failure: [] } : { ...command, success: [] }
  }
  authority.refuse = (command, workspace) =>
    refuse(command.type === 'transaction' ? taken(command, workspace) : command, workspace)
}

/** The front leaves it to the machine which branch that is. */
function letsBranchesThrough({ replica: { permissions } }: Node): void {
  const refuseCommand = permissions.refuseCommand.bind(permissions)
  permissions.refuseCommand = (command) =>
    refuseCommand(command.type === 'transaction' ? { ...command, success: [], failure: [] } : command)
}

/** A lease belongs to everybody. */
function knowsNoGrantees({ authority }: Inside): void {
  Reflect.set(authority, 'mayRule', () => true)
}

/** Nobody looks whether somebody is left who may change roles and tokens. */
function losesLastAdmin({ authority }: Inside): void {
  const changed = (next: AuthTable, result: AuthResult, workspace: Workspace): AuthResult => {
    workspace.put(AUTH_ROW, encodeAuthTable(next))
    Reflect.set(authority, 'present', next)
    return result
  }
  Reflect.set(authority, 'change', changed)
}

/** A read is judged when it comes. */
function judgesReadsEarly({ services, replica: { permissions } }: Node): void {
  services.auth.guard = ({ token }, needs) => {
    permissions.require(token, needs)
    return { check: () => undefined }
  }
}

/** That a key is not there, everybody may know. */
function tellsOfAbsence({ services, replica: { rows } }: Node): void {
  const { auth } = services
  const guard = auth.guard.bind(auth)
  auth.guard = (bearer, needs) => {
    const inner = guard(bearer, needs)
    const isAbsent = (): boolean => needs.every((need) => 'key' in need && rows.peek(recordRow(need.key)) === null)
    return { check: () => (isAbsent() ? undefined : inner.check()) }
  }
}

/** A state that is sent does not take away the tokens that its receiver knew. */
class KeepsTokens extends StateDelegate {
  override async beginInstall(): Promise<StateInstall> {
    const install = await this.inner.beginInstall()
    const [bytes] = await this.inner.getMany([rowBytes(AUTH_ROW)])
    const known = bytes === null || bytes === undefined ? null : decodeAuthTable(bytes)
    return {
      write: (rows) => install.write(rows.map((row) => withTokens(row, known))),
      commit: (meta) => install.commit(meta),
      abort: () => install.abort(),
    }
  }
}

function withTokens(row: StateRow, known: AuthTable | null): StateRow {
  if (known === null || rowFromBytes(row.key) !== AUTH_ROW) return row
  const { revision, roles, tokens } = decodeAuthTable(row.value)
  const both = [...new Map([...known.tokens, ...tokens])].sort(([one], [other]) => one - other)
  return { key: row.key, value: encodeAuthTable(new AuthTable(revision, roles, new Map(both))) }
}

export const authBugs: readonly PlantedBug[] = [
  {
    name: 'auth-decided-at-front',
    says: 'a write is judged by the rights that the node knew which took it',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => inEachMachine(node, decidesAtFront),
  },
  {
    name: 'auth-after-names',
    says: 'a retry under a token that was revoked gets the first answer',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => inEachMachine(node, looksAtNamesFirst),
  },
  {
    name: 'auth-rights-kept',
    says: 'a change of a role does not reach the rights that were worked out before',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => inEachMachine(node, keepsRights),
  },
  {
    name: 'auth-one-branch',
    says: 'a transaction needs the rights for the branch that is carried out',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => {
      inEachMachine(node, judgesOneBranch)
      letsBranchesThrough(node)
    },
  },
  {
    name: 'auth-lease-of-everybody',
    says: 'a token ends, keeps alive and uses the leases of other holders',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => inEachMachine(node, knowsNoGrantees),
  },
  {
    name: 'auth-last-admin-lost',
    says: 'the last token can be revoked that may change roles and tokens',
    seedsMax: 100,
    needsAuth: true,
    plant: (node) => inEachMachine(node, losesLastAdmin),
  },
  {
    name: 'auth-read-judged-early',
    says: 'a read is judged when it comes, and not by the state that it is given',
    seedsMax: 100,
    needsAuth: true,
    plant: judgesReadsEarly,
  },
  {
    name: 'auth-absence-told',
    says: 'who may not read a key is told when it is not there',
    seedsMax: 100,
    needsAuth: true,
    plant: tellsOfAbsence,
  },
  {
    name: 'auth-watch-goes-on',
    says: 'a watch goes on when its right was taken',
    seedsMax: 100,
    needsAuth: true,
    plant: ({ replica: { permissions } }) => {
      permissions.look = () => false
    },
  },
  {
    name: 'snapshot-without-revocation',
    says: 'a state that is sent does not take away the tokens that its receiver knew',
    seedsMax: 100,
    needsAuth: true,
    wrapState: (state) => new KeepsTokens(state),
  },
]
