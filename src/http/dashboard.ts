import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { RequestError } from '../lib/errors.ts'
import { registerPageHeaders } from './page-headers.ts'

/** What `npm run build` makes of `src/ui`. */
const ROOT = fileURLToPath(new URL('../../dist/ui/', import.meta.url))
/** Where files have their content in their name, so that they never change. */
const ASSETS = '/ui/assets/'

/** The pages load files of their node only, speak to it alone, and stand in no frame. */
const policy = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:', 'blob:'],
  'connect-src': ["'self'"],
  'form-action': ["'none'"],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
}

/** The dashboard at `/ui/`: files, without anything of the cluster in them. `app` is for these routes alone. */
export function registerDashboard(app: FastifyInstance, { isSecure }: { readonly isSecure: boolean }): void {
  if (!existsSync(`${ROOT}index.html`)) return registerAbsence(app)
  registerPageHeaders(app, { policy, isSecure })
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode >= 400) return
    const isAsset = request.url.startsWith(ASSETS)
    void reply.headers({
      'cache-control': isAsset ? 'public, max-age=31536000, immutable' : 'no-cache',
      vary: 'accept-encoding',
    })
  })
  // Relative, so that it is right behind a proxy with a path in front.
  app.get('/ui', async (_request, reply) => await reply.redirect('ui/'))
  void app.register(fastifyStatic, {
    root: ROOT,
    prefix: '/ui/',
    decorateReply: false,
    preCompressed: true,
    // Files of a package have the same time in every version, so neither time nor tag tells whether they are the same.
    etag: false,
    lastModified: false,
    cacheControl: false,
  })
}

/** A node that runs from its source, without the built pages. */
function registerAbsence(app: FastifyInstance): void {
  for (const path of ['/ui', '/ui/*']) {
    app.get(path, () => {
      throw new RequestError('route-not-found', 'the dashboard is not there: `npm run build` makes it')
    })
  }
}
