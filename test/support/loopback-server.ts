import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Owner } from './temporary-directory.ts'

/** Lets a server listen on the loopback interface until the test ends. Returns `127.0.0.1:PORT`. */
export async function listenUntilEnd(owner: Owner, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  owner.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
