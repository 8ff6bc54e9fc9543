//! What hostile plugins cost: their own call, with a text that tells an operator why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_runtime::limits::{ADAPTER, INSTANCES};
use millpond_runtime::{
    Budget, CallError, CallSize, Class, CompileError, Compiler, Finding, GuestLog, LoadError, Outcome,
    Plugin, Sandbox, TracingSink, TrapKind, call, inspect, store, trapped,
};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wasmtime::component::Linker;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

/// A component whose `run` is this core function, `(param i32) (result i32)`; it exports `memory`.
fn component(body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (table 1 funcref)
                {body}
            )
            (core instance $i (instantiate $m))
            (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run")))
        )"#
    ))
    .unwrap()
}

fn plugin(wasm: &[u8], class: Class) -> Plugin {
    SANDBOX.load("guest", wasm, class).unwrap()
}

fn run_with(plugin: &Plugin, budget: Budget, n: u32) -> Outcome<u32> {
    let log = GuestLog::new(plugin.name(), &ADAPTER, Arc::new(TracingSink));
    let mut store = store(plugin, budget, log);
    let instance =
        Linker::new(plugin.component().engine()).instantiate(&mut store, plugin.component()).unwrap();
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run").unwrap();
    call(&mut store, "run", budget, |store| run.call(store, (n,)).map(|(result,)| Ok(result)))
}

fn run(body: &str, class: Class) -> Outcome<u32> {
    run_with(&plugin(&component(body), class), Budget::of(class, CallSize::default()), 1)
}

fn trap(outcome: Outcome<u32>) -> (TrapKind, String) {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    match error {
        CallError::Trap { kind, .. } => (kind, text),
        other => panic!("not a trap: {other}"),
    }
}

const ECHO: &str = r#"(func (export "run") (param i32) (result i32) local.get 0)"#;

#[test]
fn a_good_call_costs_the_same_fuel_every_time() {
    let first = run(ECHO, Class::Strict).unwrap();
    assert_eq!(first.value, 1);
    assert!(first.fuel_used > 0 && first.fuel_used < 100, "{first:?}");
    assert_eq!(run(ECHO, Class::Strict).unwrap(), first);
}

#[test]
fn an_endless_loop_ends_with_its_fuel() {
    let body = r#"(func (export "run") (param i32) (result i32) (loop br 0) unreachable)"#;
    // The class that decides about money: fuel alone ends it, however slow the machine is.
    let (kind, text) = trap(run(body, Class::Strict));
    assert_eq!(kind, TrapKind::Fuel, "{text}");
    assert_eq!(
        text,
        "run: out of fuel: it used all 1000000000 units that a call of this size has: an endless loop?"
    );
}

#[test]
fn cpu_time_is_the_backstop_behind_fuel() {
    let body = r#"(func (export "run") (param i32) (result i32) (loop br 0) unreachable)"#;
    let plugin = plugin(&component(body), Class::Adapter);
    let mut budget = Budget::of(Class::Adapter, CallSize::default());
    budget.fuel = u64::MAX / 4;
    budget.wall = Duration::from_secs(600);
    let (kind, text) = trap(run_with(&plugin, budget, 1));
    assert_eq!(kind, TrapKind::Epoch);
    assert!(text.starts_with("run: out of time: it used "), "{text}");
    assert!(text.ends_with(" ms of CPU time, the limit for this call is 250 ms"), "{text}");
}

#[test]
fn a_call_that_an_overloaded_host_starved_is_no_strike() {
    let body = r#"(func (export "run") (param i32) (result i32) (loop br 0) unreachable)"#;
    let plugin = plugin(&component(body), Class::Adapter);
    let mut budget = Budget::of(Class::Adapter, CallSize::default());
    budget.fuel = u64::MAX / 4;
    budget.cpu = Duration::from_secs(600);
    budget.wall = Duration::ZERO;
    // The deadline in ticks comes from the CPU time; a short one brings the check on.
    let log = GuestLog::new("guest", &ADAPTER, Arc::new(TracingSink));
    let mut store = store(&plugin, budget, log);
    let instance =
        Linker::new(plugin.component().engine()).instantiate(&mut store, plugin.component()).unwrap();
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run").unwrap();
    let outcome = call(&mut store, "run", budget, |store| {
        store.set_epoch_deadline(1);
        run.call(store, (1,)).map(|(result,)| Ok(result))
    });
    let error = outcome.unwrap_err();
    assert!(!error.is_strike(), "{error}");
    assert!(error.to_string().starts_with("run: out of wall-clock time on an overloaded host: "), "{error}");
}

#[test]
fn a_memory_bomb_is_told_its_limit() {
    let body = r#"(func (export "run") (param i32) (result i32) (loop (drop (memory.grow (i32.const 100))) br 0) unreachable)"#;
    let (kind, text) = trap(run(body, Class::Strict));
    assert_eq!(kind, TrapKind::Memory);
    assert_eq!(
        text,
        "run: out of memory: it wanted 39387136 bytes of memory, the limit for this call is 33554432"
    );
}

#[test]
fn a_table_bomb_is_told_its_limit() {
    let body = r#"(func (export "run") (param i32) (result i32) (table.grow 0 (ref.null func) (i32.const 1000000)))"#;
    let (kind, text) = trap(run(body, Class::Adapter));
    assert_eq!(kind, TrapKind::Memory);
    assert!(text.contains("a table of 1000001 elements, the limit is 10000"), "{text}");
}

#[test]
fn deep_recursion_overflows_the_guests_stack_only() {
    let body = r#"(func $f (export "run") (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))"#;
    let (kind, text) = trap(run(body, Class::Adapter));
    assert_eq!(kind, TrapKind::Stack);
    assert_eq!(text, "run: stack overflow: more than 512 KiB of stack: recursion without end?");
}

#[test]
fn a_trap_names_its_function() {
    let body = r#"(func $allocate_twice (export "run") (param i32) (result i32) unreachable)"#;
    let (kind, text) = trap(run(body, Class::Adapter));
    assert_eq!(kind, TrapKind::Other);
    assert_eq!(text, "run: trap: wasm trap: wasm `unreachable` instruction executed, in allocate_twice");
}

#[test]
fn an_oversized_result_is_refused_before_it_is_copied() {
    let wasm = wat::parse_str(
        r#"(component
            (core module $m
                (memory (export "memory") 400)
                (func (export "run") (result i32)
                    (i32.store (i32.const 0) (i32.const 8))
                    (i32.store (i32.const 4) (i32.const 20000000))
                    i32.const 0)
            )
            (core instance $i (instantiate $m))
            (func (export "run") (result (list u8)) (canon lift (core func $i "run") (memory $i "memory")))
        )"#,
    )
    .unwrap();
    let plugin = plugin(&wasm, Class::Adapter);
    let budget = Budget::of(Class::Adapter, CallSize::default());
    let mut store = store(&plugin, budget, GuestLog::new("guest", &ADAPTER, Arc::new(TracingSink)));
    let instance =
        Linker::new(plugin.component().engine()).instantiate(&mut store, plugin.component()).unwrap();
    let run = instance.get_typed_func::<(), (Vec<u8>,)>(&mut store, "run").unwrap();
    let outcome = call(&mut store, "run", budget, |store| run.call(store, ()).map(|(result,)| Ok(result)));
    let error = outcome.unwrap_err();
    assert_eq!(
        error.to_string(),
        "run: too many bytes handed to the host: one result or argument exceeds 16777216 bytes, the limit for this call"
    );
}

#[test]
fn an_instance_pool_that_others_filled_is_no_strike() {
    // Of its own: other tests run beside this one and need places too.
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let plugin = sandbox.load("guest", &component(ECHO), Class::Adapter).unwrap();
    let budget = Budget::of(Class::Adapter, CallSize::default());
    let linker = Linker::new(plugin.component().engine());
    let made = || {
        let mut store = store(&plugin, budget, GuestLog::new("guest", &ADAPTER, Arc::new(TracingSink)));
        linker.instantiate(&mut store, plugin.component()).map(|_| store)
    };
    let crowd: Vec<_> = (0..INSTANCES).map(|_| made().unwrap()).collect();
    let Err(refused) = made() else { panic!("one more than there are places") };
    let error = trapped("run", &refused, budget);
    assert!(!error.is_strike(), "{error}");
    assert!(error.is_trap(), "it is tried again: {error}");
    drop(crowd);
    made().unwrap();
}

#[test]
fn floats_in_the_strict_class_name_the_function() {
    let body = r#"(func $average (export "run") (param i32) (result i32)
        (i32.trunc_f64_s (f64.mul (f64.const 2) (f64.convert_i32_s (local.get 0)))))"#;
    let wasm = component(body);
    assert!(inspect(&wasm, Class::Adapter).findings.is_empty());
    let report = inspect(&wasm, Class::Strict);
    let text = report.findings[0].to_string();
    assert!(
        text.starts_with("floats in the strict class: function \"average\" of core module 0: floating-point instruction disallowed"),
        "{text}"
    );
    assert!(matches!(SANDBOX.load("x", &wasm, Class::Strict), Err(LoadError::Unfit(_))));
}

#[test]
fn an_import_in_the_strict_class_is_named() {
    let wasm = wat::parse_str(
        r#"(component
            (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
            (import "millpond:payout/types@0.1.0" (instance (type u64) (export "amount" (type (eq 0)))))
        )"#,
    )
    .unwrap();
    let findings = inspect(&wasm, Class::Strict).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].to_string().starts_with("unknown import: wasi:clocks/wall-clock@0.2.0; "),
        "{findings:?}"
    );
}

#[test]
fn what_is_no_component_is_told_apart() {
    let module = wat::parse_str("(module)").unwrap();
    let text = inspect(&module, Class::Strict).findings[0].to_string();
    assert!(text.contains("it is a core module; make it a component with `millpond plugin build`"), "{text}");
    assert!(matches!(inspect(b"#!/bin/sh", Class::Strict).findings[0], Finding::NotAComponent(_)));
    assert!(matches!(inspect(b"", Class::Strict).findings[0], Finding::NotAComponent(_)));
    let large = vec![0; 4 * 1024 * 1024 + 1];
    assert_eq!(
        inspect(&large, Class::Strict).findings[0].to_string(),
        "size: 4194305 bytes, the strict class allows 4194304"
    );
}

#[test]
fn compile_bombs_are_seen_before_they_are_compiled() {
    let many = "(func)".repeat(20_001);
    let text = inspect(&component(&format!("{ECHO}{many}")), Class::Strict).findings[0].to_string();
    assert_eq!(text, "too many functions: 20002, the strict class allows 20000");

    let locals = format!("(func (local {}))", "i64 ".repeat(5_001));
    let text = inspect(&component(&format!("{ECHO}{locals}")), Class::Strict).findings[0].to_string();
    assert_eq!(text, "too many locals in one function: 5001, the strict class allows 5000");

    let long = format!("(func {})", "i32.const 1 drop ".repeat(200_000));
    let text = inspect(&component(&format!("{ECHO}{long}")), Class::Strict).findings[0].to_string();
    assert!(text.starts_with("too many bytes in one function: "), "{text}");

    let memory = r#"(component (core module (memory 60000)))"#;
    let text = inspect(&wat::parse_str(memory).unwrap(), Class::Strict).findings[0].to_string();
    assert_eq!(text, "too many MiB of memory at start: 3750, the strict class allows 32");
}

fn child(memory: u64, cpu_seconds: u64, wall: Duration) -> Compiler {
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_millpond-compile"));
    Compiler::Child { executable, memory, cpu_seconds, wall }
}

/// Within the static limits, and yet long to compile: deeply nested blocks with many live values each.
fn slow_to_compile() -> Vec<u8> {
    let mut body = String::new();
    for n in 0..6_000 {
        let (function, mut text) = (n, String::new());
        for _ in 0..120 {
            text.push_str("(local.set 0 (i64.xor (local.get 0) (i64.mul (local.get 1) (local.get 0))))");
            text.push_str(
                "(if (i64.eqz (local.get 0)) (then (local.set 1 (i64.add (local.get 0) (i64.const 7)))))",
            );
        }
        body.push_str(&format!("(func $f{function} (param i64 i64) {text})"));
    }
    component(&format!("{ECHO}{body}"))
}

#[test]
fn the_child_compiles_what_this_process_runs() {
    let folder = tempfile::tempdir().unwrap();
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_millpond-compile"));
    let sandbox = Sandbox::new(Some(folder.path()), Compiler::executable(executable)).unwrap();
    let plugin = sandbox.load("echo", &component(ECHO), Class::Strict).unwrap();
    let budget = Budget::of(Class::Strict, CallSize::default());
    assert_eq!(run_with(&plugin, budget, 42).unwrap().value, 42);
    let kept: Vec<_> = cached(folder.path());
    assert_eq!(kept.len(), 1, "{kept:?}");

    // A second start takes the code from the cache: its compiler cannot even start.
    let broken = Compiler::executable(PathBuf::from("/nonexistent/compiler"));
    let sandbox = Sandbox::new(Some(folder.path()), broken.clone()).unwrap();
    let plugin = sandbox.load("echo", &component(ECHO), Class::Strict).unwrap();
    assert_eq!(run_with(&plugin, budget, 43).unwrap().value, 43);

    // Changed code is thrown away, never run.
    let mut code = std::fs::read(&kept[0]).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    std::fs::write(&kept[0], code).unwrap();
    let error = sandbox.load("echo", &component(ECHO), Class::Strict).unwrap_err().to_string();
    assert!(error.starts_with("the compiling child process /nonexistent/compiler failed: "), "{error}");
    assert!(cached(folder.path()).is_empty());
}

fn cached(folder: &std::path::Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect()
}

#[test]
fn a_compile_bomb_ends_with_its_child() {
    let wasm = slow_to_compile();
    assert!(inspect(&wasm, Class::Adapter).findings.is_empty());
    let slow = Sandbox::new(None, child(3 << 30, 600, Duration::from_millis(100))).unwrap();
    let error = slow.load("bomb", &wasm, Class::Adapter).unwrap_err();
    assert!(matches!(&error, LoadError::Compile(CompileError::Limit(_))), "{error}");
    assert!(error.to_string().starts_with("compiling was stopped: it took more than 0 s; "), "{error}");

    let small = Sandbox::new(None, child(100 << 20, 600, Duration::from_secs(120))).unwrap();
    let error = small.load("bomb", &wasm, Class::Adapter).unwrap_err().to_string();
    assert!(error.contains("its memory is limited to 100 MiB"), "{error}");

    let short = Sandbox::new(None, child(3 << 30, 1, Duration::from_secs(120))).unwrap();
    let error = short.load("bomb", &wasm, Class::Adapter).unwrap_err().to_string();
    assert!(error.contains("it used more than 1 s of CPU time"), "{error}");
}
