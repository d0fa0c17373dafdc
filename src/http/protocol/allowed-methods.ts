import type { FastifyInstance } from 'fastify'

interface Pattern {
  readonly segments: readonly string[]
  readonly methods: Set<string>
}

/** The methods that each path has, for `405` and its `Allow` header. Fastify itself reports only that method and path do not match. */
export class AllowedMethods {
  private readonly patterns = new Map<string, Pattern>()

  /** Notes every route that is registered from now on. */
  watch(app: FastifyInstance): void {
    app.addHook('onRoute', ({ url, method }) => {
      const pattern = this.patterns.get(url) ?? { segments: url.split('/'), methods: new Set() }
      this.patterns.set(url, pattern)
      for (const name of [method].flat()) pattern.methods.add(name)
    })
  }

  methodsOf(path: string): readonly string[] {
    const segments = path.split('/')
    const found = new Set<string>()
    for (const pattern of this.patterns.values()) {
      if (matches(pattern.segments, segments)) for (const method of pattern.methods) found.add(method)
    }
    return [...found].sort()
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
