// Command llbvectors builds LLB graphs from small JSON descriptions over BuildKit's own client/llb and prints
// what it marshals them to. It is the oracle of pybuildkit.llb: the same descriptions are built there by
// tests/support/llbjson.py, and both must give the same bytes.
//
//	llbvectors run < graphs.jsonl   one description a line in, one summary a line out, flushed at once
//	llbvectors write DIR            writes DIR/llb-more.json.gz from DIR/llb-graphs.jsonl, and fills the "out" of every case
//	                                of the tables DIR/llb-{caps,giturls,shlex}.json from its "in"
//
// The same input always gives the same bytes.
//
// # A graph
//
//	{"name": "…", "rows": ["L2"], "nodes": [node…], "out": 3, "maps": [map…], "marshal": constraints, "bare": false,
//	 "probe": true, "dump": true, "refused": "…", "differs": "…"}
//
// "nodes" are built in order; a node names others by their position. "out" is the node to marshal, the last one when
// absent. Without "bare" the marshal options are linux/amd64 and the local unique id "uid0", then "marshal". "probe"
// also reports the values of the state (env, directory, …), "dump" the lines of `buildctl debug dump-llb`. "rows" are
// the fact rows a vector touches; "refused" tells why pybuildkit turns down what Go accepts, and "differs" what it makes
// of a graph that Go fails on. They are for the readers and the Python tests, Go has no use for them.
//
// # Nodes
//
// Every node has a "kind"; those that make an op can have "constraints"; those that go on from a state name it by "on".
//
//	scratch
//	image             ref, resolve (default|pull|local), internal, layer_limit, checksum,
//	                  config (an image config: a resolver that answers with it), resolve_digest, resolved_ref, resolved_digest,
//	                  resolve_error
//	image_blob        ref, filename, perm, uid, gid
//	oci_layout_blob   ref, filename, perm, uid, gid, session, store
//	oci_layout        ref, session, store, layer_limit, checksum
//	git               url, fragment, ref, subdir, keep_git_dir, skip_submodules, mtime, checksum, fetch_by_commit, auth_token,
//	                  auth_header, known_hosts [], ssh_socket, bundle {locator, session, store}, checkout_bundle
//	http              url, checksum, filename, perm, uid, gid, auth_header, header {accept, user_agent}, signature {key, signature}
//	local             name, session, include [], exclude [], follow [], hint, differ (none|metadata), differ_required,
//	                  metadata_only []
//	source            id, attrs {}: any source by its identifier
//	env, dir, user, hostname, network, security, cgroup_parent      name/value, or value
//	platform          platform
//	extra_host        host, ip
//	ulimit            name, soft, hard
//	reset             other
//	requires          id, deps []
//	image_config      config
//	marshal_defaults  constraints only
//	async             to (the state it turns out to be) or error
//	run               args [] or shlex, env [[k, v]…], dir, user, hostname, network, security, extra_hosts [[host, ip]…],
//	                  ulimits [[name, soft, hard]…], cgroup_parent, valid_exit_codes [], readonly_root,
//	                  proxy {http, https, ftp, no, all}, mounts [mount…], secrets [secret…], ssh [ssh…], devices [[name, optional]…]
//	mount             of (a run), target: the state of a mount, going on from the state that was mounted
//	get_mount         of (a run), target: the same output as a fresh state
//	file              actions [action…]
//	actions           on, actions: not a state, but file actions on a state, for "from" of a copy
//	merge             inputs []
//	diff              lower, upper
//	passthrough       id, inputs [[state, is output]…], index
//	llb_build         filename
//	definition        of (a state, marshalled with "constraints") or bytes (base64)
//
//	mount     {target, source, readonly, selector, no_output, content_cache (on|off), cache, sharing (shared|private|locked),
//	           tmpfs, size, late}; no source is scratch, "late" adds it to the finished run
//	secret    {dest, id, env (bool), env_name, file [uid, gid, mode], optional}; a null dest is none, and needs an id
//	ssh       {id, target, opt [target, uid, gid, mode], optional}
//	action    {do, …} by "do":
//	          mkdir {path, mode, parents}, mkfile {path, mode, data or data_b64}, symlink {old, new},
//	          rm {path, allow_not_found, allow_wildcard},
//	          copy {from, src, dest, mode or mode_str, follow, contents_only, include [], exclude [], required [], unpack,
//	                create_dest, wildcard, empty_wildcard, replace}
//	          and for all but rm: user ("u:g"), ids [uid, gid], chown {user: {id or name}, group: …}, time (nanoseconds)
//
// # Constraints
//
//	{platform, ignore_cache, description {}, name, export_cache (true|false|"default"), progress_group [id, name, weak],
//	 resources {memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems}, require [], unique,
//	 caps [] (what the daemon is said to support), locations [{map, ranges [[line, column, line, column]…]}…]}
//
// A platform is {os, architecture, variant, os_version, os_features}. A map is a source map: {filename, language, data, state}.
//
// # A summary
//
//	{"name", "error"} or {"name", "def_hex": [op bytes…], "digests": […], "metadata", "source", "head",
//	"definition_sha256": of the whole definition in deterministic encoding, "state", "resolved", "dump"}
package main
