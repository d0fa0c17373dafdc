import { limits } from '../../../src/limits.ts'
import type { Grant, Key, Role } from '../../../src/kv/index.ts'
import type { Answer, ClientCommand, Request } from '../../../src/checker/operation.ts'
import type { AuthPlan, SimulationOptions } from '../world/options.ts'
import { Client, type ClientDependencies, type Drawn } from './client.ts'
import type { Keyring } from './keyring.ts'

export interface WardenDependencies extends ClientDependencies {
  readonly keyring: Keyring
}

const ROLES = ['r0', 'r1', 'r2']
const NAMES = ['a', 'b', 'c']
const ADMIN = 'admin'
/** So few tokens that clients share some, and so many that each of them mostly has one. */
const LIVE_MIN = 2
const LIVE_MAX = 6

const PREFIXES: readonly (Key | '')[] = ['', 'k' as Key, 'l' as Key, 'f' as Key]

/**
 * Makes the first token once, and changes roles and tokens from then on: it hands tokens out, takes them back, takes rights from roles, and
 * hands its own power on to a new token. It also tries what would lock everybody out, and what its token may not do.
 */
export class Warden extends Client {
  private readonly plan: AuthPlan
  private readonly keyring: Keyring
  private isBegun = false
  /** Of the token with `root`; null until it is known. */
  private rootId: number | null = null
  /** There may be another token with all rights, of which nobody knows. */
  private mayHaveOther = false
  private readonly put = new Set<string>()

  constructor(id: number, plan: AuthPlan, options: SimulationOptions, dependencies: WardenDependencies) {
    super(id, { ...options, thinkMs: plan.changeEveryMs, stickyShare: 0, repeatShare: 0 }, dependencies)
    this.plan = plan
    this.keyring = dependencies.keyring
  }

  override async run(): Promise<void> {
    await this.world.sleep(this.plan.fromMs)
    await super.run()
  }

  protected override drawRequest(): Drawn {
    return this.write(this.isBegun ? this.drawChange() : this.bootstrap())
  }

  protected override drawSecret(): string | null | undefined {
    const { live } = this.keyring
    if (this.isBegun && live.length > 0 && this.random.chance(0.05)) return this.random.pick(live).secret
    return this.keyring.root
  }

  protected override learn(request: Request, answer: Answer): void {
    super.learn(request, answer)
    if (request.type !== 'write' || answer.type !== 'write') return
    const { command } = request
    const { result } = answer
    if (result.type === 'auth-begun' || result.type === 'auth-begun-before') this.isBegun = true
    if (result.type === 'auth-begun') this.rootId = result.id
    if (result.type === 'role-put' && command.type === 'role-put') this.put.add(command.role.name)
    if (result.type === 'role-deleted' && command.type === 'role-delete') this.put.delete(command.name)
    if (result.type === 'token-deleted' && command.type === 'token-delete') this.keyring.takeBack(command.id)
    if (result.type === 'token-created' && command.type === 'token-create') this.handOut(command.created, result.id)
  }

  private handOut(
    { hash: secret, roles }: { readonly hash: string; readonly roles: readonly string[] },
    id: number,
  ): void {
    const { keyring, rootId } = this
    if (!roles.includes(ADMIN)) return keyring.handOut({ secret, id })
    // The one before goes on as a token like others, until it is taken back.
    if (rootId !== null) keyring.handOut({ secret: keyring.root, id: rootId })
    keyring.root = secret
    this.rootId = id
    this.mayHaveOther = true
  }

  private bootstrap(): ClientCommand {
    return { type: 'auth-bootstrap', name: 'root', hash: this.keyring.root, idempotency: null }
  }

  private drawChange(): ClientCommand {
    const { random, put } = this
    const { live } = this.keyring
    if (put.size === 0) return this.putRole(this.everything(ROLES[0] ?? ''))
    if (live.length < LIVE_MIN) return this.createToken()
    const action = random.pick(['role', 'role', 'role', 'token', 'token', 'take', 'take', 'take', 'rare'] as const)
    if (action === 'role') return this.putRole(this.drawRole())
    if (action === 'token' && live.length < LIVE_MAX) return this.createToken()
    return action === 'rare' ? this.drawRare() : this.takeBack(random.pick(live).id)
  }

  /** What is refused, mostly. */
  private drawRare(): ClientCommand {
    const { random, rootId, mayHaveOther } = this
    const { old } = this.keyring
    switch (random.pick(['role', 'lock-out', 'lock-out', 'again', 'power', 'unknown', 'first'] as const)) {
      case 'role':
        return { type: 'role-delete', name: random.pick([...ROLES, 'none']), idempotency: null }
      case 'lock-out':
        // Nobody may succeed with that: the one who tries would be locked out itself.
        if (rootId !== null && !mayHaveOther) return this.takeBack(rootId)
        return this.putRole({ name: ADMIN, grants: [grant('read-write', '')], rights: ['cluster:admin'] })
      case 'again':
        return this.takeBack(old.length > 0 ? random.pick(old).id : 0)
      case 'power':
        this.mayHaveOther = true
        return this.createToken([ADMIN], null)
      case 'unknown':
        return this.createToken(['none'])
      case 'first':
        return this.bootstrap()
    }
  }

  private createToken(roles = this.drawRoles(), expiresAt = this.drawEnd()): ClientCommand {
    const { random, keyring } = this
    const unlimited = { requestsPerSecond: null, bytesPerSecond: null, certificateName: null }
    const created = { name: random.pick(NAMES), roles, expiresAt, ...unlimited, hash: keyring.newSecret() }
    return { type: 'token-create', created, idempotency: null }
  }

  /** By the wall clock of the node that is asked, which adds it: here the time until then. */
  private drawEnd(): number | null {
    return this.random.chance(this.plan.expiringShare) ? this.random.pick([200, 1_000, 4_000]) : null
  }

  private takeBack(id: number): ClientCommand {
    return { type: 'token-delete', id, idempotency: null }
  }

  private putRole(role: Role): ClientCommand {
    return { type: 'role-put', role, idempotency: null }
  }

  private drawRoles(): string[] {
    const known = [...this.put]
    return this.random.sample(known, Math.min(known.length, this.random.pick([1, 1, 1, 2])))
  }

  private drawRole(): Role {
    const { random } = this
    const name = random.pick(ROLES)
    if (random.chance(0.5)) return this.everything(name)
    const count = random.pick([0, 1, 1, 2, 2, 3])
    const grants = Array.from({ length: Math.min(count, limits.auth.grantsMax) }, () => this.drawGrant())
    return { name, grants, rights: random.chance(0.2) ? ['cluster:read'] : [] }
  }

  private everything(name: string): Role {
    return { name, grants: [grant('read-write', '')], rights: this.random.chance(0.7) ? ['cluster:admin'] : [] }
  }

  /** Some of these lie side by side, so that they cover a range together. */
  private drawGrant(): Grant {
    const { random } = this
    const access = random.pick(['read', 'write', 'read-write', 'read-write'] as const)
    const type = random.pick(['prefix', 'prefix', 'key', 'range', 'range'] as const)
    if (type === 'prefix') return grant(access, random.pick(PREFIXES))
    if (type === 'key') return { access, keys: { type, key: this.drawKey() } }
    const [start, end] = this.drawRange()
    // An empty range is none that a client may put in a role.
    return start !== null && start === end ? grant(access, 'k' as Key) : { access, keys: { type, start, end } }
  }
}

function grant(access: Grant['access'], prefix: Key | ''): Grant {
  return { access, keys: { type: 'prefix', prefix } }
}
