package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sync"
)

// Monitor controls a QEMU that Start started. Safe for concurrent use.
type Monitor struct {
	qmp *qmp

	mu     sync.Mutex
	reason string // of QMP's SHUTDOWN event
}

// DialMonitor connects to the monitor of the QEMU in dir. QEMU serves one
// connection at a time: another waits for its turn, or for the end.
func DialMonitor(ctx context.Context, dir string) (*Monitor, error) {
	conn, err := Dial(ctx, dir, MonitorSocket)
	if err != nil {
		return nil, err
	}
	m, err := newMonitor(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("vm: %s: %w", filepath.Join(dir, MonitorSocket), err)
	}
	return m, nil
}

func newMonitor(ctx context.Context, conn io.ReadWriteCloser) (*Monitor, error) {
	m := &Monitor{}
	var err error
	m.qmp, err = newQMP(ctx, conn, m.event)
	return m, err
}

func (m *Monitor) event(e *message) {
	if reason := shutdownReason(e); reason != "" {
		m.mu.Lock()
		m.reason = reason
		m.mu.Unlock()
	}
}

// shutdownReason is why QEMU ends, if the message is the event that says so.
func shutdownReason(m *message) string {
	var data struct {
		Reason string `json:"reason"`
	}
	if m.Event != "SHUTDOWN" || json.Unmarshal(m.Data, &data) != nil {
		return ""
	}
	return data.Reason
}

// Resume lets a machine run that Start has started.
func (m *Monitor) Resume(ctx context.Context) error { return m.qmp.execute(ctx, "cont") }

// Powerdown presses the power button and does not wait for what comes of it.
func (m *Monitor) Powerdown(ctx context.Context) error { return m.qmp.execute(ctx, "system_powerdown") }

// Quit ends QEMU without asking the guest.
func (m *Monitor) Quit(ctx context.Context) error { return m.qmp.execute(ctx, "quit") }

// Ended is closed when QEMU has closed the connection, so when it has ended.
func (m *Monitor) Ended() <-chan struct{} { return m.qmp.ended }

// PoweredOff reports whether the guest cut its own power. After Ended only.
func (m *Monitor) PoweredOff() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason == "guest-shutdown"
}

// Close leaves QEMU alone.
func (m *Monitor) Close() error { return m.qmp.conn.Close() }
