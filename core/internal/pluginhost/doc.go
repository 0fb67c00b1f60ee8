// Package pluginhost finds builder plugins, runs them, holds them to the
// contract of core/builder and ends them, leaving no process behind.
//
// A plugin is not sandboxed: it runs as the user. What this package guards
// against is a plugin that is broken, hung, of another version or built for
// another machine; each becomes one error, a *Fault, that names the plugin's
// file, quotes the last it said and says what to do.
//
// How a plugin's processes are kept in hand. A plugin that calls builder.Serve
// is the subreaper of all that it starts, so its tree stays whole while it
// lives: the host stops the plugin, kills what is below it, then kills it. When
// the host dies, the plugin gets SIGTERM from the kernel and the end of its
// standard input, and does the same to itself. When the plugin is gone before
// its children, they are found by their session, which is the plugin's, and by
// the PLUGIN_UNIX_SOCKET_DIR in their environment. Only a process that has left
// the session, has cleared its environment and whose plugin crashed gets away.
//
// It does not schedule, cache or fetch; the engine does.
package pluginhost
