import { describeGradients } from '#test/support/describe-gradients.ts';
import { convCases } from './cases/conv.ts';

describeGradients('conv', convCases);
