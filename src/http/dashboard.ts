import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { RequestError } from '../lib/errors.ts'
import { registerFiles } from './files.ts'
import { registerPageHeaders } from './page-headers.ts'

/** What `npm run build` makes of `src/ui`. */
const ROOT = fileURLToPath(new URL('../../dist/ui/', import.meta.url))
/** Where files have their content in their name, so that they never change. */
const ASSETS = 'assets/'

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
  // Relative, so that it is right behind a proxy with a path in front.
  app.get('/ui', async (_request, reply) => await reply.redirect('ui/'))
  registerFiles(app, { folder: ROOT, prefix: '/ui/', isLasting: (name) => name.startsWith(ASSETS) })
}

/** A node that runs from its source, without the built pages. */
function registerAbsence(app: FastifyInstance): void {
  for (const path of ['/ui', '/ui/*']) {
    app.get(path, () => {
      throw new RequestError('route-not-found', 'the dashboard is not there: `npm run build` makes it')
    })
  }
}
