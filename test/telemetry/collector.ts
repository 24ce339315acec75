// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../conformance/platform.ts'

/** A span as the collector's debug exporter prints it. */
export interface SeenSpan {
  service: string
  name: string
  trace: string
  id: string
  parent: string
  attributes: Record<string, string>
}

/** Starts a collector that takes OTLP both ways and prints what comes. */
export async function startCollector(program: string, dir: string) {
  const [grpc, http] = await freePorts(2)
  const config = join(dir, 'collector.yaml')
  await writeFile(
    config,
    `receivers:
  otlp: { protocols: { grpc: { endpoint: "127.0.0.1:${grpc}" }, http: { endpoint: "127.0.0.1:${http}" } } }
exporters:
  debug: { verbosity: detailed, use_internal_logger: false }
service:
  telemetry: { metrics: { level: none } }
  pipelines:
    traces: { receivers: [otlp], exporters: [debug] }
`,
  )
  const child = spawn(program, ['--config', config], { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
  for (let i = 0; !printed.includes('Everything is ready'); i++) {
    if (child.exitCode !== null || i > 300) throw new Error(`the collector did not start:\n${printed}`)
    await sleep(100)
  }
  return {
    grpc: `http://127.0.0.1:${grpc}`,
    http: `http://127.0.0.1:${http}`,
    spans: () => parseSpans(printed),
    async stop() {
      if (child.exitCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

function parseSpans(text: string): SeenSpan[] {
  const spans: SeenSpan[] = []
  let service = ''
  for (const line of text.split('\n')) {
    const [, key = '', value = ''] = /^\s*(?:-> )?([\w. ]+?)\s*: (.*)$/.exec(line) ?? []
    const plain = /^\w+\((.*)\)$/.exec(value)?.[1] ?? value
    const span = spans.at(-1)
    if (key === 'service.name') service = plain
    else if (/^Span #\d+/.test(line))
      spans.push({ service, name: '', trace: '', id: '', parent: '', attributes: {} })
    else if (!span) continue
    else if (key === 'Trace ID') span.trace = plain
    else if (key === 'Parent ID') span.parent = plain
    else if (key === 'ID') span.id = plain
    else if (key === 'Name') span.name = plain
    else if (line.includes('-> ')) span.attributes[key] = plain
  }
  return spans
}
