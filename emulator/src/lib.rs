//! The model in real time: OS threads over the model.
