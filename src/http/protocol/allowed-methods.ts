import type { FastifyInstance } from 'fastify'
import { assert } from '../../lib/assert.ts'
import type { Operation } from './operation.ts'

interface Pattern {
  readonly url: string
  readonly segments: readonly string[]
  /** By method. */
  readonly operations: Map<string, Operation | null>
}

/** A route without what its path holds: `/kv/*`. */
export interface Route {
  readonly pattern: string
  readonly operation: Operation | null
}

/**
 * The methods that each path has, for `405` and its `Allow` header, and the route behind a path. Fastify itself reports only that method and
 * path do not match, and knows the route only while it handles a request.
 */
export class AllowedMethods {
  private readonly patterns = new Map<string, Pattern>()
  /** The same by their first segment. While there is too much to do, the routes of requests are looked up that are refused. */
  private readonly byFirst = new Map<string, Pattern[]>()

  /** Notes every route that is registered from now on. */
  watch(app: FastifyInstance): void {
    app.addHook('onRoute', ({ url, method, config }) => {
      const pattern = this.patterns.get(url) ?? this.add(url)
      for (const name of [method].flat()) pattern.operations.set(name, config?.operation ?? null)
    })
  }

  methodsOf(path: string): readonly string[] {
    const found = new Set<string>()
    for (const { operations } of this.matching(path)) for (const method of operations.keys()) found.add(method)
    return [...found].sort()
  }

  /** Null: no route has that method and path. */
  routeOf(method: string, path: string): Route | null {
    const found = this.matching(path).filter(({ operations }) => operations.has(method))
    const route = found.find(({ url }) => url === path) ?? found[0]
    return route === undefined ? null : { pattern: route.url, operation: route.operations.get(method) ?? null }
  }

  /** Each operation that has a route, once. */
  operations(): ReadonlySet<Operation> {
    const found = new Set<Operation>()
    for (const { operations } of this.patterns.values())
      for (const operation of operations.values()) if (operation !== null) found.add(operation)
    return found
  }

  private add(url: string): Pattern {
    const segments = url.split('/')
    const [, first = ''] = segments
    assert(!first.startsWith(':') && first !== '*', 'the first segment of a route is fixed')
    const pattern = { url, segments, operations: new Map<string, Operation | null>() }
    this.patterns.set(url, pattern)
    this.byFirst.set(first, [...(this.byFirst.get(first) ?? []), pattern])
    return pattern
  }

  private matching(path: string): readonly Pattern[] {
    const segments = path.split('/')
    const candidates = this.byFirst.get(segments[1] ?? '') ?? []
    return candidates.filter((pattern) => matches(pattern.segments, segments))
  }
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  for (const [at, expected] of pattern.entries()) {
    if (expected === '*') return segments.length > at
    const segment = segments[at]
    if (segment === undefined || (expected.startsWith(':') ? segment === '' : expected !== segment)) return false
  }
  return pattern.length === segments.length
}
