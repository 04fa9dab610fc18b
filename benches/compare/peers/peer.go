// The works of benches/compare in Go: takes work, peer, case and count, prints one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type figures map[string]float64

func main() {
	if os.Args[1] == "startup" {
		fmt.Println(<-call(2))
		return
	}
	work, name := os.Args[1], os.Args[3]
	count, _ := strconv.Atoi(os.Args[4])
	works := map[string]func(string, int) (figures, error){
		"throughput": calls, "growth": calls, "compute": computing, "sockets": sockets,
		"queued": queued, "scheduled": scheduled, "sleeping": sleeping, "lateness": lateness,
		"idle": idle,
	}
	result, err := works[work](name, count)
	if err != nil {
		text, _ := json.Marshal(map[string]string{"absent": err.Error()})
		fmt.Println(string(text))
		return
	}
	text, _ := json.Marshal(result)
	fmt.Println(string(text))
}

var steps = 0
var sink uint64

func compute(steps int) uint64 {
	state := uint64(steps)
	for i := 0; i < steps; i++ {
		state = state*6364136223846793005 + 1
	}
	return state
}

func addOne(number int) int {
	if steps > 0 {
		// Kept, or it would not be computed.
		if compute(steps) == 42 {
			atomic.AddUint64(&sink, 1)
		}
	}
	return number + 1
}

func call(number int) chan int {
	result := make(chan int, 1)
	go func() { result <- addOne(number) }()
	return result
}

func inGroups(count, width int) time.Duration {
	start := time.Now()
	sum := 0
	results := make([]chan int, width)
	for first := 0; first < count; first += width {
		end := first + width
		if end > count {
			end = count
		}
		for n := first; n < end; n++ {
			results[n-first] = call(n)
		}
		for n := first; n < end; n++ {
			sum += <-results[n-first]
		}
	}
	took := time.Since(start)
	if sum != count*(count+1)/2 {
		panic("a value was lost")
	}
	return took
}

func producers(count int) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func() { inGroups(count/4, count/4); all.Done() }()
	}
	all.Wait()
	return time.Since(start)
}

func calls(name string, count int) (figures, error) {
	run := func(count int) time.Duration {
		switch name {
		case "nested":
			return inGroups(count, 1)
		case "fan-out":
			return inGroups(count, 1000)
		case "producers":
			return producers(count)
		}
		return inGroups(count, count)
	}
	run(count/10 + 4)
	repeats := 50000 / count
	if repeats < 1 {
		repeats = 1
	} else if repeats > 20 {
		repeats = 20
	}
	var times []float64
	for i := 0; i < repeats; i++ {
		times = append(times, float64(run(count))/float64(count))
	}
	sort.Float64s(times)
	return figures{"ns": times[len(times)/2], "tasks": float64(count)}, nil
}

func computing(name string, count int) (figures, error) {
	fastest := time.Hour
	for i := 0; i < 200; i++ {
		start := time.Now()
		sink += compute(20000)
		if took := time.Since(start); took < fastest {
			fastest = took
		}
	}
	steps = int(20000 * 10 * time.Microsecond / fastest)
	return calls(name, count)
}

func status(file, field string) float64 {
	text, _ := os.ReadFile(file)
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			number, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			return number
		}
	}
	return 0
}

func resident() float64 { return status("/proc/self/status", "VmRSS:") * 1024 }

func cpu() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func sockets(name string, count int) (figures, error) {
	ports := strings.Split(os.Getenv("COMPARE_PORTS"), ",")
	ask := func(port string) error {
		stream, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		defer stream.Close()
		if _, err = stream.Write([]byte{1}); err != nil {
			return err
		}
		_, err = stream.Read(make([]byte, 1))
		return err
	}
	if err := ask(ports[0]); err != nil {
		return nil, err
	}
	start, before := time.Now(), cpu()
	results := make([]chan error, count)
	for i := range results {
		result, port := make(chan error, 1), ports[i%len(ports)]
		go func() { result <- ask(port) }()
		results[i] = result
	}
	for _, result := range results {
		if err := <-result; err != nil {
			return nil, err
		}
	}
	return figures{
		"wall": float64(time.Since(start)), "cpu": float64(cpu() - before),
		"peak": status("/proc/self/status", "VmHWM:") * 1024,
	}, nil
}

var begun, ended int64

func waitFor(counter *int64, count int) {
	for atomic.LoadInt64(counter) < int64(count) {
		time.Sleep(time.Millisecond)
	}
}

func waiting(count int, bytes float64, inserted, drained time.Duration) (figures, error) {
	n := float64(count)
	return figures{
		"bytes": bytes / n, "insert": float64(inserted) / n, "drain": float64(drained) / n, "tasks": n,
	}, nil
}

// There is no way to keep goroutines from beginning: they wait for a gate.
func queued(name string, count int) (figures, error) {
	gate := make(chan struct{})
	before, start := resident(), time.Now()
	for i := 0; i < count; i++ {
		number := uint64(i)
		go func() { <-gate; atomic.AddUint64(&sink, number); atomic.AddInt64(&ended, 1) }()
	}
	inserted, after := time.Since(start), resident()
	runtime.Gosched()
	start = time.Now()
	close(gate)
	waitFor(&ended, count)
	return waiting(count, after-before, inserted, time.Since(start))
}

func scheduled(name string, count int) (figures, error) {
	before, start := resident(), time.Now()
	ahead := 4 * time.Microsecond * time.Duration(count)
	if ahead < 200*time.Millisecond {
		ahead = 200 * time.Millisecond
	}
	due := start.Add(ahead)
	for i := 0; i < count; i++ {
		at := due.Add(time.Duration(rand.Int63n(1000000)))
		time.AfterFunc(time.Until(at), func() { atomic.AddInt64(&ended, 1) })
	}
	inserted, after := time.Since(start), resident()
	if time.Now().After(due) {
		return nil, fmt.Errorf("the first were due before the last were inserted")
	}
	waitFor(&ended, count)
	return waiting(count, after-before, inserted, time.Since(due.Add(time.Millisecond)))
}

func sleeping(name string, count int) (figures, error) {
	before, start := resident(), time.Now()
	ahead := 100 * time.Microsecond * time.Duration(count)
	if ahead < time.Second {
		ahead = time.Second
	}
	until := start.Add(ahead)
	for i := 0; i < count; i++ {
		go func() {
			atomic.AddInt64(&begun, 1)
			time.Sleep(time.Until(until))
			atomic.AddInt64(&ended, 1)
		}()
	}
	waitFor(&begun, count)
	inserted, after := time.Since(start), resident()
	waitFor(&ended, count)
	return waiting(count, after-before, inserted, time.Since(until))
}

func spin() {
	for start := time.Now(); time.Since(start) < time.Microsecond; {
	}
}

func lateness(name string, count int) (figures, error) {
	late := make([]int64, count)
	stop, rate := make(chan struct{}), make(chan float64, 1)
	if name == "load" {
		go func() {
			start, called := time.Now(), 0
			var results []chan struct{}
			for {
				select {
				case <-stop:
					rate <- float64(called) / time.Since(start).Seconds()
					return
				default:
				}
				for len(results) < 200 {
					result := make(chan struct{}, 1)
					go func() { spin(); result <- struct{}{} }()
					results = append(results, result)
					called++
				}
				for _, result := range results[:50] {
					<-result
				}
				results = append([]chan struct{}{}, results[50:]...)
			}
		}()
		time.Sleep(100 * time.Millisecond)
	}
	start := time.Now().Add(200 * time.Millisecond)
	var all sync.WaitGroup
	all.Add(count)
	for i := range late {
		i, due := i, start.Add(time.Duration(rand.Int63n(int64(2*time.Second))))
		time.AfterFunc(time.Until(due), func() { late[i] = int64(time.Since(due)); all.Done() })
	}
	all.Wait()
	sort.Slice(late, func(a, b int) bool { return late[a] < late[b] })
	result := figures{
		"median": float64(late[count/2]), "99th": float64(late[(count-1)*99/100]),
		"max": float64(late[count-1]),
	}
	if name == "load" {
		close(stop)
		result["rate"] = <-rate
	}
	return result, nil
}

func wakes() (switches, threads float64) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		switches += status("/proc/self/task/"+task.Name()+"/status", "voluntary_ctxt_switches:")
	}
	return switches, float64(len(tasks))
}

func idle(name string, millis int) (figures, error) {
	<-call(1)
	time.Sleep(500 * time.Millisecond)
	before, _ := wakes()
	used := cpu()
	time.Sleep(time.Duration(millis) * time.Millisecond)
	used = cpu() - used
	after, threads := wakes()
	seconds := float64(millis) / 1000
	return figures{
		"wakes": (after - before) / seconds, "cpu": float64(used) / seconds, "threads": threads,
	}, nil
}
