# savedefconfig: the lines of .config that are no default, in Config.in's order.
FILENAME !~ /\.config$/ {
	if ($1 == "config") { name = $2; order[++n] = name }
	else if ($1 == "default") def[name] = $2
	else if ($1 == "string" || $1 == "int") kind[name] = "value"
	next
}
match($0, /^# [A-Za-z0-9_]+ is not set$/) { have[$2] = "n"; next }
i = index($0, "=") { have[substr($0, 1, i - 1)] = substr($0, i + 1) }
END {
	for (i = 1; i <= n; i++) {
		name = order[i]
		if (!(name in have)) continue
		d = (name in def) ? def[name] : (kind[name] == "value") ? "\"\"" : "n"
		if (have[name] != d) print have[name] == "n" ? "# " name " is not set" : name "=" have[name]
	}
}
