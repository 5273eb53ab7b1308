/**
 * When a launcher should end its children: on a signal, or when whoever started it is gone. npm runs scripts through a
 * shell that dies of SIGTERM without handing it on; the launcher is then an orphan, and would keep a node running that
 * nobody knows of.
 */
const parentCheckMs = 250

export function onEnding(end: (signal: NodeJS.Signals) => void): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(signal))
  // Windows keeps no such tie between processes; closing the console there ends all of them.
  if (process.platform === 'win32') return
  const parent = process.ppid
  const check = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(check)
    end('SIGTERM')
  }, parentCheckMs)
  check.unref()
}
