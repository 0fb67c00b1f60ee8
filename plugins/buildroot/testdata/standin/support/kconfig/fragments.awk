# The same as conf.awk, with CONFIG_ in front of names.
FNR == NR {
	sub(/CONFIG_/, "")
	if (match($0, /^# [A-Za-z0-9_]+ is not set$/)) want[$2] = "n"
	else if (i = index($0, "=")) want[substr($0, 1, i - 1)] = substr($0, i + 1)
	next
}
$1 == "config" { name = $2; order[++n] = name; next }
$1 == "depends" { needs[name] = $3 }
END {
	for (i = 1; i <= n; i++) {
		name = order[i]
		value = (name in want) ? want[name] : "n"
		if ((name in needs) && want[needs[name]] != "y") value = "n"
		print value == "n" ? "# CONFIG_" name " is not set" : "CONFIG_" name "=" value
	}
}
