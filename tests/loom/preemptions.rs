//! How much of all interleavings is tried.

/// With three threads or more, all interleavings are too many: those with up to three preemptions.
pub fn bounded_model(model: impl Fn() + Sync + Send + 'static) {
    model_with_preemptions(3, model);
}

pub fn model_with_preemptions(most: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(model);
}
