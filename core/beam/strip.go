package beam

// ChunkRule says what Strip does with a chunk, and why.
type ChunkRule struct {
	ID     string
	Keep   bool
	Reason string // with its source
}

// ChunkRules are the chunks that compilers of OTP 25 to 29 and of Elixir write.
// A chunk that is not listed goes, as in beam_lib:strip/1. Kept ones are written
// in this order, which is that of Mix.Release.strip_beam/2 (Attr, then
// beam_lib:significant_chunks/0), so a module stripped by mix stays as it is.
var ChunkRules = []ChunkRule{
	{"Attr", true, "Module:module_info(attributes) at run time: -behaviour, -vsn, Elixir's persisted attributes; mix release keeps it (Mix.Release, @additional_chunks)"},
	{"Line", true, "file and line in stack traces; beam_lib:significant_chunks/0"},
	{"Type", true, "types of operands, for the JIT (beam_file.c, parse_type_chunk); beam_lib:significant_chunks/0 since OTP 25"},
	{"Atom", true, "atom table of compilers before OTP 20, Latin-1; beam_lib:md5_chunks/0"},
	{"AtU8", true, "atom table; the loader refuses a file without (beam_file.c)"},
	{"Code", true, "the instructions"},
	{"StrT", true, "strings for binary construction and matching; mandatory in beam_lib"},
	{"ImpT", true, "functions called in other modules; the loader refuses a file without"},
	{"ExpT", true, "exported functions; the loader refuses a file without"},
	{"FunT", true, "funs; beam_lib:md5_chunks/0"},
	{"LitT", true, "literal terms; beam_lib:md5_chunks/0"},
	{"Meta", true, "enabled language features; part of the module's checksum (beam_file.c), beam_lib:md5_chunks/0 since OTP 25"},
	{"Recs", true, "native records of OTP 29: instructions refer to them, and loading fails without (erlang/otp#10735)"},
	{"DbgB", true, "for modules compiled with beam_debug_info (OTP 28): their instructions refer to it, and loading fails without (erlang/otp#10735)"},

	{"LocT", false, "local functions; the loader reads it only to write an assembly dump (beam_file.c, erts_jit_asm_dump)"},
	{"CInf", false, "compiler version, options and source path, for module_info(compile); beam_lib:strip/1 drops it"},
	{"Dbgi", false, "abstract code, for debugger, cover, dialyzer and hot upgrades of Elixir structs; not loaded"},
	{"Abst", false, "what Dbgi was before OTP 20"},
	{"Docs", false, "EEP-48 documentation, for h() in a shell"},
	{"ExCk", false, "Elixir's types and deprecations, read by its compiler when it compiles a dependent (Module.ParallelChecker)"},
	{"ExDc", false, "Elixir's documentation before EEP-48"},
	{"ExDp", false, "Elixir's deprecations before ExCk"},
}

// Strip returns the file with only what a running VM uses: see ChunkRules.
// Chunks are shared with f.
func (f *File) Strip() *File {
	out := &File{}
	for _, rule := range ChunkRules {
		if data, ok := f.Chunk(rule.ID); ok && rule.Keep {
			out.Chunks = append(out.Chunks, Chunk{ID: rule.ID, Data: data})
		}
	}
	return out
}
