// A program for a container image of a test: it says what it was started with.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	dir, _ := os.Getwd()
	said := fmt.Sprintf("args=%q uid=%d gid=%d dir=%s WORD=%s HOME=%s", os.Args[1:], os.Getuid(), os.Getgid(), dir, os.Getenv("WORD"), os.Getenv("HOME"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	l, err := net.Listen("tcp", ":4000")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		names, err := os.ReadFile("/etc/resolv.conf")
		fmt.Fprintln(w, said, strings.TrimSpace(string(names)), err)
	}))
	fmt.Println(said)
	fmt.Println("listening on 4000")
	<-stop
	fmt.Println("asked to stop")
}
