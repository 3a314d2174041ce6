import "./setup";
import "./board";
