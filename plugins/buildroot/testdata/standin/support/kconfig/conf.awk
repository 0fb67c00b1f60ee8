# conf: takes of the first file (a defconfig) the symbols that the other files
# (Config.in) define, and whose dependency, one symbol, is met. Like conf it says
# nothing of what it leaves out.
FNR == NR {
	if (match($0, /^# [A-Za-z0-9_]+ is not set$/)) want[$2] = "n"
	else if (i = index($0, "=")) want[substr($0, 1, i - 1)] = substr($0, i + 1)
	next
}
$1 == "config" { name = $2; order[++n] = name; next }
$1 == "depends" { needs[name] = $3; next }
$1 == "string" || $1 == "int" { kind[name] = "value"; next }
$1 == "default" { def[name] = $2 }
END {
	for (i = 1; i <= n; i++) {
		name = order[i]
		if (name in seen) continue
		seen[name] = 1
		value = (name in want) ? want[name] : (name in def) ? def[name] : (kind[name] == "value") ? "\"\"" : "n"
		if ((name in needs) && want[needs[name]] != "y") { if (kind[name] == "value") continue; value = "n" }
		print value == "n" ? "# " name " is not set" : name "=" value
	}
}
