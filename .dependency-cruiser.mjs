/**
 * Who may import what: the table of docs/architecture.md as rules. Each message names what is allowed instead. The
 * folders' own tsconfig files catch the same mistakes in types; this net also sees .svelte files and adapter to adapter.
 */

const only = (name, folder, allowed, comment) => ({
  name,
  severity: 'error',
  comment: `${comment} See docs/architecture.md, "Who may import what".`,
  from: { path: `^src-main/${folder}/` },
  to: { pathNot: allowed },
})

const npm = (names) => `^node_modules/(${names.join('|')})/`

export default {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'A cycle means that two files are one story or that a part of both wants its own file.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      comment: 'The import leads nowhere.',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-packages',
      severity: 'error',
      comment: 'Only packages named in package.json may be imported.',
      from: { path: '^src-' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    only(
      'contracts-are-schemas-and-codecs',
      'contracts',
      ['^src-main/contracts/', npm(['zod', '@orpc/contract', '@ipld/dag-cbor', '@noble/hashes', 'multiformats'])],
      'Contracts may import contracts, and libraries for schemas and codecs.',
    ),
    only(
      'core-is-pure',
      'core',
      ['^src-main/(contracts|core)/', npm(['@noble/hashes', '@ipld/dag-cbor', 'zod'])],
      'The core may import contracts and core: no Node, no Electron, no package with I/O.',
    ),
    {
      name: 'core-areas-stand-alone',
      severity: 'error',
      comment:
        'An area of the core may import ports, numerics, models and errors; generation sits on hosting. See docs/architecture.md.',
      from: { path: '^src-main/core/([^/]+)/', pathNot: '^src-main/core/(ports|numerics|models)/' },
      to: {
        path: '^src-main/core/([^/]+)/',
        pathNot: ['^src-main/core/$1/', '^src-main/core/(ports|numerics|models)/'],
      },
    },
    {
      name: 'ports-import-types-only',
      severity: 'error',
      comment: 'Ports are types; they may name contracts and each other.',
      from: { path: '^src-main/core/ports/' },
      to: { pathNot: ['^src-main/contracts/', '^src-main/core/ports/'] },
    },
    {
      name: 'engines-stand-alone',
      severity: 'error',
      comment: 'An engine may import contracts, ports, numerics, models, what engines share, and its own technology.',
      from: { path: '^src-main/engines/([^/]+)/', pathNot: '^src-main/engines/(blocks|catalogue|onnxruntime-gpu)/' },
      to: {
        path: '^src-(main|renderer)/',
        pathNot: [
          '^src-main/contracts/',
          '^src-main/core/(ports|numerics|models|calibration)/',
          '^src-main/core/errors\\.ts$',
          '^src-main/engines/$1/',
          '^src-main/engines/(shared|kernels)/',
        ],
      },
    },
    {
      name: 'blocks-go-backward',
      severity: 'error',
      comment: 'Blocks run forward by kernels and a backend, backward by what training is made of.',
      from: { path: '^src-main/engines/blocks/' },
      to: {
        path: '^src-(main|renderer)/',
        pathNot: [
          '^src-main/contracts/',
          '^src-main/core/(ports|numerics|models)/',
          '^src-main/core/errors\\.ts$',
          '^src-main/engines/(blocks|shared|kernels|training)/',
        ],
      },
    },
    {
      name: 'onnxruntime-on-gpus-is-onnxruntime',
      severity: 'error',
      comment: 'onnxruntime’s GPU providers may import what its CPU backend is made of, and what any engine may.',
      from: { path: '^src-main/engines/onnxruntime-gpu/' },
      to: {
        path: '^src-(main|renderer)/',
        pathNot: [
          '^src-main/contracts/',
          '^src-main/core/(ports|numerics|models|calibration)/',
          '^src-main/core/errors\\.ts$',
          '^src-main/engines/(onnxruntime|onnxruntime-gpu|shared)/',
        ],
      },
    },
    {
      name: 'catalogue-knows-the-backends',
      severity: 'error',
      comment: 'The catalogue of backends may import them all, and what any engine may.',
      from: { path: '^src-main/engines/catalogue/' },
      to: {
        path: '^src-(main|renderer)/',
        pathNot: [
          '^src-main/contracts/',
          '^src-main/core/(ports|numerics|models|calibration)/',
          '^src-main/core/errors\\.ts$',
          '^src-main/engines/(catalogue|onnxruntime|onnxruntime-gpu|tfjs|shared)/',
        ],
      },
    },
    {
      name: 'adapters-stand-alone',
      severity: 'error',
      comment:
        'An adapter may import contracts, the core’s ports and pure functions, what adapters share, and its own technology; never another adapter.',
      from: { path: '^src-main/adapters/([^/]+)/' },
      to: {
        path: '^src-(main|renderer)/',
        pathNot: ['^src-main/(contracts|core)/', '^src-main/adapters/($1|shared)/'],
      },
    },
    only(
      'app-receives-its-adapters',
      'app',
      ['^src-main/(contracts|core|app)/', npm(['@orpc/server', '@orpc/contract', 'pino', 'zod']), '^(node:)?[a-z_/]+$'],
      'The app may import contracts, core and itself; adapters and engines come in as components.',
    ),
    {
      name: 'workers-compose-compute',
      severity: 'error',
      comment:
        'A worker may import contracts, core, engines and adapters: it computes, and knows no node and no shell.',
      from: { path: '^src-main/workers/' },
      to: { path: '^src-(main|renderer)/', pathNot: '^src-main/(contracts|core|engines|adapters|workers)/' },
    },
    {
      name: 'workers-run-elsewhere',
      severity: 'error',
      comment: 'What runs in a worker is started, not imported; only its options are shared with who starts it.',
      from: { path: '^src-', pathNot: '^src-main/workers/' },
      to: { path: '^src-main/workers/', pathNot: '^src-main/workers/compute-options\\.ts$' },
    },
    {
      name: 'assembly-builds-the-node',
      severity: 'error',
      comment: 'Assembly may import everything but the shells and the UI.',
      from: { path: '^src-main/assembly/' },
      to: { path: ['^src-main/(headless|electron)/', '^src-renderer/'] },
    },
    {
      name: 'headless-never-imports-electron',
      severity: 'error',
      comment: 'The headless shell may import everything but Electron and the UI’s sources.',
      from: { path: '^src-main/headless/' },
      to: { path: ['^src-main/electron/', '^src-renderer/', '^node_modules/electron/', '^electron$'] },
    },
    {
      name: 'electron-only-in-its-shell',
      severity: 'error',
      comment: 'Only src-main/electron may import Electron.',
      from: { path: '^src-', pathNot: '^src-main/electron/' },
      to: { path: ['^node_modules/electron/', '^electron$'] },
    },
    {
      name: 'electron-never-imports-headless',
      severity: 'error',
      comment: 'The two shells do not know each other; what both want belongs in app or assembly.',
      from: { path: '^src-main/electron/' },
      to: { path: ['^src-main/headless/', '^src-renderer/'] },
    },
    {
      name: 'shells-use-what-is-assembled',
      severity: 'error',
      comment:
        'A shell may import contracts, the app, assembly, and the small adapters for files and hardware; engines and everything else come assembled.',
      from: { path: '^src-main/(headless|electron)/' },
      to: {
        path: '^src-main/',
        pathNot: [
          '^src-main/(contracts|app|assembly)/',
          '^src-main/adapters/(files|hardware)/',
          '^src-main/core/ports/',
          '^src-main/(headless|electron)/',
        ],
      },
    },
    {
      name: 'launcher-stands-alone',
      severity: 'error',
      comment: 'The launcher starts the shells as processes; it imports none of them.',
      from: { path: '^src-main/launcher/' },
      to: { path: '^src-(main|renderer)/', pathNot: '^src-main/launcher/' },
    },
    {
      name: 'renderer-knows-only-the-api',
      severity: 'error',
      comment: 'The UI may import contracts/api (and the small contracts it is made of) and Svelte.',
      from: { path: '^src-renderer/' },
      to: {
        pathNot: [
          '^src-renderer/',
          '^src-main/contracts/(api/|model/|receipt/|patch-file/header\\.ts|errors\\.ts|digest\\.ts|span\\.ts)',
          npm(['svelte', '@orpc/client', '@orpc/contract', 'zod']),
        ],
      },
    },
    {
      name: 'nothing-ships-from-test',
      severity: 'error',
      comment: 'The product never imports test code.',
      from: { path: '^src-', pathNot: '^src-renderer/views-in-memory' },
      to: { path: '^test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['^(dist|release|test-output)/', '^src-main/engines/kernels/assembly/'] },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'svelte', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.svelte', '.mjs', '.d.ts'],
    },
    builtInModules: { add: ['electron'] },
  },
}
