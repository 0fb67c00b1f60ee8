vm "custom" {
	strategy = "custom"
	hostname = /* 漢字 */ "ホスト"
}
