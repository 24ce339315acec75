// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** Errors that any service, or the gateway before them, may answer. */
export const platformErrors = defineErrors('platform', {
  METHOD_NOT_ALLOWED: {
    status: 405,
    message: 'Method Not Allowed: {method} {path}',
    hint: 'Use {allowed}',
  },
  PATH_NOT_FOUND: {
    status: 404,
    message: 'Not Found: {service} has no {method} {path}',
    hint: 'GET /openapi.json lists its paths',
  },
  SERVICE_NOT_PRESENT: {
    status: 501,
    message: 'the {service} service is not part of this installation, so {path} cannot be answered',
    hint: 'GET /health lists the services that run here',
  },
  SERVICE_STARTING: {
    status: 503,
    message: 'the {service} service is still starting',
    hint: 'Try again in a second; GET /health shows the progress',
  },
  DATABASE_UNAVAILABLE: {
    status: 503,
    message: 'the database does not answer',
    hint: 'Repeat the request in some seconds; when it goes on, check that PostgreSQL runs and NEMO_DATABASE_URL',
  },
  BODY_TOO_LARGE: {
    status: 413,
    message: 'the body is larger than {limit} bytes',
    hint: 'Send less at once, or put the data into the Data Store and name it here',
  },
  UNSTORABLE_TEXT: {
    status: 422,
    message: 'the request holds a NUL character or half a surrogate pair, which cannot be stored',
    hint: 'Leave it out',
  },
  DISK_FULL: {
    status: 507,
    message: 'the disk of {dir} has {free} MB left, so nothing can be added',
    hint: 'Delete data or enlarge the disk; what is there can be read, and writes go on once there is room',
  },
  DATABASE_STOPPED: {
    status: 503,
    message: 'the embedded database is not open, since the disk of {dir} has {free} MB left',
    hint: 'Delete data or enlarge the disk: it opens by itself once {needed} MB are free, with all that was acknowledged',
  },
  DATABASE_FULL: {
    status: 507,
    message: 'the database has no room left on its disk, so nothing was changed',
    hint: 'Delete data or enlarge its disk, then repeat the request',
  },
})
