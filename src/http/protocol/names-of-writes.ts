import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import { idempotencyKey } from './preconditions.ts'
import { isSafeMethod } from './safe-method.ts'

const check: onRequestHookHandler = ({ headers }, _reply, done) => {
  idempotencyKey(headers)
  done()
}

/**
 * Refuses a malformed `Idempotency-Key` on every route that may change something, before the body is read: also where no first answer is kept
 * under a key (`Operation.sentAgain`). Reads pay nothing for it.
 */
export function checkNamesOfWrites(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if ([route.method].flat().every(isSafeMethod)) return
    route.onRequest = [...[route.onRequest ?? []].flat(), check]
  })
}
