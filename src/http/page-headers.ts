import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'

export interface PageHeaders {
  /** The directives of the Content-Security-Policy. */
  readonly policy: Readonly<Record<string, readonly string[]>>
  /** Whether the pages come over TLS. */
  readonly isSecure: boolean
}

/** Sets the headers of pages for browsers on every route that is registered on `app` afterwards. */
export function registerPageHeaders(app: FastifyInstance, { policy, isSecure }: PageHeaders): void {
  const directives = Object.fromEntries(Object.entries(policy).map(([name, sources]) => [name, [...sources]]))
  void app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives },
    // They would concern whatever else runs on this host, at whichever port.
    strictTransportSecurity: false,
    originAgentCluster: false,
    // A browser complains of it where there is no TLS.
    crossOriginOpenerPolicy: isSecure,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
  })
}
